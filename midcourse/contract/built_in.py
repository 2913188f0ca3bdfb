"""The built-in live parameters.

The table is the one source of the API's schema, the console's form, the command line's completion
and `docs/parameters.md`. How a value is applied to and read back from live objects is the
plugin's part (`midcourse.live`).
"""

from midcourse.contract.live_parameter import LiveParameter

_ROWS = [
    LiveParameter(
        name="optimizer.name",
        type="string",
        ways={"state": ["reset", "carry"]},
        read_back="the class of the optimizer",
        description=(
            "Swap the optimizer. Its learning rate and weight decay stay, as do the momentum or "
            "betas where the new one has them. `state` says what becomes of its moments: `reset` "
            "begins anew, `carry` keeps those that mean the same in both."
        ),
    ),
    LiveParameter(
        name="optimizer.lr",
        type="number",
        gt=0.0,
        ways={"mode": ["rebase", "override", "scale"]},
        read_back="the base rate of the schedule, or the param group's `lr` where there is none",
        description=(
            "Learning rate: the base that the schedule shapes. `rebase` moves the schedule to a "
            "new base from the next step on, `scale` multiplies the base, `override` sets the rate "
            "itself and ends the schedule. Parameter groups keep their ratios."
        ),
    ),
    LiveParameter(
        name="optimizer.momentum",
        type="number",
        ge=0.0,
        lt=1.0,
        read_back="the param groups' `momentum`, or the first of their `betas`",
        description=(
            "Momentum of SGD and RMSprop; the first-moment coefficient (`betas[0]`) of Adam and "
            "its kin. Under a schedule that cycles it, the level that it cycles from."
        ),
    ),
    LiveParameter(
        name="optimizer.betas",
        type="numbers",
        count=2,
        ge=0.0,
        lt=1.0,
        read_back="the param groups' `betas`",
        description="Coefficients of the running averages of the gradient and of its square.",
    ),
    LiveParameter(
        name="optimizer.weight_decay",
        type="number",
        ge=0.0,
        read_back="the param groups' `weight_decay`",
        description=(
            "Weight decay. Parameter groups keep their ratios: one that has none gets none, "
            "unless no group has any."
        ),
    ),
    LiveParameter(
        name="scheduler.name",
        type="string",
        read_back="the class of the scheduler",
        description=(
            "Swap the schedule: a new one begins at this step from the present base rate. "
            "`scheduler.<option>` beside it sets its options."
        ),
    ),
    LiveParameter(
        name="scheduler.step_every",
        type="interval",
        nullable=True,
        read_back="the program's own live value",
        description=(
            "When the schedule steps; null: as the present schedule is made to, every step for "
            "those that cycle, every epoch for others."
        ),
    ),
    LiveParameter(
        name="loss.name",
        type="string",
        read_back="the class of the loss",
        description=(
            "Swap the loss. Options that both have stay; `loss.<option>` beside it sets others."
        ),
    ),
    LiveParameter(
        name="loss.label_smoothing",
        type="number",
        ge=0.0,
        le=1.0,
        read_back="the loss's `label_smoothing`",
        description="Share of each target that is spread evenly over all classes.",
    ),
    LiveParameter(
        name="model.dropout",
        type="number",
        ge=0.0,
        lt=1.0,
        per_layer=True,
        unit="probability",
        read_back="`p` of the model's dropout layers; an object by layer where they differ",
        description=(
            "Probability of dropping a value: of all dropout layers of the model, or by layer "
            'pattern: `{"features.*": 0.1, "classifier.1": 0.5}`.'
        ),
    ),
    LiveParameter(
        name="model.frozen",
        type="patterns",
        read_back="`requires_grad` of the model's weights: the layers in which all are frozen",
        description=(
            "The layers whose weights stand still, by pattern: `features.*`, `*.bias`; the list is "
            "the whole truth, `[]` lets all weights train. A frozen weight does not move by a bit."
        ),
    ),
    LiveParameter(
        name="model.frozen_statistics",
        type="boolean",
        read_back="the batch-norm layers that use their running statistics",
        description=(
            "Whether batch-norm layers that are frozen also keep their running statistics, and "
            "normalise by them, as in evaluation."
        ),
    ),
    LiveParameter(
        name="data.batch_size",
        type="integer",
        ge=1,
        le=1_000_000,
        unit="samples",
        ways={"scale_lr": [False, True]},
        read_back="the session's feed",
        description=(
            "Samples in a step, also in the middle of an epoch: none is skipped or seen twice. "
            "With `scale_lr` the learning rate changes by the same factor."
        ),
    ),
    LiveParameter(
        name="train.epochs",
        type="integer",
        ge=1,
        le=1_000_000,
        unit="epochs",
        takes_effect="the end of the epoch",
        read_back="the session's epoch limit",
        description=(
            "How many epochs the run trains in all. May not be set below the epoch under way; "
            "`stop` ends a run at once."
        ),
    ),
    LiveParameter(
        name="train.grad_clip",
        type="number",
        gt=0.0,
        nullable=True,
        read_back="the program's own live value",
        description=(
            "The gradient of all weights together is scaled down to this norm; null leaves it as "
            "it is."
        ),
    ),
    LiveParameter(
        name="train.eval_every",
        type="interval",
        read_back="the program's own live value",
        description="When the model is tried on the test data.",
    ),
    LiveParameter(
        name="train.checkpoint_every",
        type="interval",
        nullable=True,
        read_back="the session's checkpoint schedule",
        description=(
            "When a checkpoint is taken; null: only on command, before changes and at the end."
        ),
    ),
    LiveParameter(
        name="train.precision",
        type="string",
        choices=["fp32", "bf16", "fp16"],
        read_back="the program's own live value",
        description=(
            "The type in which is computed where that is safe; weights stay in float32. `fp16` "
            "scales the loss, so that small gradients survive."
        ),
    ),
]

BUILT_IN: dict[str, LiveParameter] = {row.name: row for row in _ROWS}
"""The built-in live parameters by name. A run has those that its tracked objects can hold."""
