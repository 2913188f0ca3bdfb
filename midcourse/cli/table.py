"""All commands: where each is defined, and the line that `midcourse --help` has for it."""

from typing import Final

SECTIONS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Begin": {
        "up": ("up:up", "Start the control API here, and a first training."),
        "login": ("login:login", "Keep a token for a control API."),
        "logout": ("login:logout", "Forget it."),
        "profiles": ("login:profiles", "The control APIs that are kept; choose the default."),
        "doctor": ("doctor:doctor", "Check what Midcourse needs, and say how to mend it."),
    },
    "Train": {
        "submit": ("submit:submit", "Queue a run, or a grid of them."),
        "fork": ("fork:fork", "A new run from a checkpoint of another."),
        "replay": ("fork:replay", "Train a run once more, from its journal."),
    },
    "Look": {
        "runs": ("runs:runs", "The runs, as a table."),
        "show": ("show:show", "One run in full."),
        "watch": ("watch:watch", "A run as it trains: curves, events, commands."),
        "metrics": ("metrics:metrics", "Curves of a run, or their points."),
        "params": ("params:params", "What can be changed live, and what it is now."),
        "checkpoints": ("checkpoints:checkpoints", "What a run can be forked from."),
        "commands": ("commands:commands", "What was asked of a run, and what came of it."),
        "journal": ("journal:journal", "The same as a durable record, to keep or to replay."),
        "tree": ("tree:tree", "Where runs come from, drawn."),
        "diff": ("diff:diff", "How two runs differ: configuration, values, metrics."),
        "logs": ("logs:logs", "What a run's trainer printed."),
        "events": ("events:events", "What happens, as it happens."),
        "experiments": ("experiments:experiments", "The experiments, and how their runs stand."),
        "report": ("report:report", "An experiment's pages at W&B: publish them, or find them."),
        "slots": ("slots:slots", "Who trains where."),
        "queue": ("slots:queue", "Who waits, in which order."),
        "tensorboard": ("tensorboard:tensorboard", "The runs of this machine in TensorBoard."),
        "open": ("open:open_page", "Open a run's page in the browser."),
    },
    "Steer": {
        "pause": ("steer:pause", "Hold a run at its next step; it keeps its device."),
        "resume": ("steer:resume", "Let it go on."),
        "suspend": ("steer:suspend", "Write a checkpoint and free the slot, until `resume`."),
        "stop": ("steer:stop", "Write a checkpoint and end a run for good."),
        "set": ("set:set_values", "Change live parameters."),
        "undo": ("steer:undo", "Go back to before the last change."),
        "checkpoint": ("steer:checkpoint", "Write a checkpoint and keep it."),
        "revert": ("fork:revert", "Go back to a checkpoint."),
        "reinitialise": ("steer:reinitialise", "Give layers fresh weights."),
        "withdraw": ("commands:withdraw", "Withdraw a command that has not acted."),
        "bulk": ("bulk:bulk", "The same for all runs of a filter."),
    },
    "Keep order": {
        "note": ("edit:note", "Write down something about a run."),
        "tag": ("edit:tag", "Give a run tags, or take them away."),
        "rename": ("edit:rename", "Give a run another name."),
        "prioritise": ("edit:prioritise", "Move a run up or down in the queue."),
        "sync": ("sync:sync", "Send to W&B what is not there yet."),
        "archive": ("edit:archive", "Put runs out of sight."),
        "unarchive": ("edit:unarchive", "Put them back."),
        "delete": ("delete:delete", "Delete ended runs and their files."),
    },
    "Administer": {
        "whoami": ("tokens:whoami", "Whom your token speaks for."),
        "tokens": ("tokens:tokens", "Make, list and revoke tokens."),
        "audit": ("audit:audit", "Who asked for what, and what came of it."),
        "completion": ("completion:completion", "Completion for bash, zsh or fish."),
    },
}

COMMANDS: Final = {name: row for rows in SECTIONS.values() for name, row in rows.items()}
