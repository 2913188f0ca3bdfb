from midcourse.contract.base import utc_now
from midcourse.contract.commands import Command, Pause
from midcourse.mailbox import Mailbox


def command(seq: int, run: str = "r1") -> Command:
    return Command(run=run, seq=seq, actor="ada", accepted_at=utc_now(), action=Pause())


def taken(mailbox: Mailbox) -> list[int]:
    found = []
    while (next_one := mailbox.take()) is not None:
        found.append(next_one.seq)
    return found


def test_commands_come_in_the_order_of_their_numbers_each_once() -> None:
    alerts: list[int] = []
    mailbox = Mailbox(lambda: alerts.append(1))
    mailbox.begin("r1", known=())
    for seq in (2, 1, 2, 1):
        mailbox.post(command(seq))
    assert len(alerts) == 2
    assert taken(mailbox) == [1, 2]
    for seq in (1, 2, 3):
        mailbox.post(command(seq))
    assert taken(mailbox) == [3]


def test_what_was_dealt_with_before_a_restart_is_not_taken_up_again() -> None:
    mailbox = Mailbox(lambda: None)
    mailbox.begin("r1", known=(1, 2, 3, 4))
    for seq in (3, 4, 5):
        mailbox.post(command(seq))
    assert taken(mailbox) == [5]


def test_a_late_command_for_the_parent_is_not_the_childs() -> None:
    mailbox = Mailbox(lambda: None)
    mailbox.begin("r1", known=())
    mailbox.post(command(6))
    mailbox.begin("r2", known=())
    mailbox.post(command(7))
    mailbox.post(command(1, "r2"))
    assert taken(mailbox) == [1]


def test_a_command_that_was_overtaken_on_the_wire_is_not_lost() -> None:
    mailbox = Mailbox(lambda: None)
    mailbox.begin("r1", known=())
    mailbox.post(command(3))
    assert taken(mailbox) == [3]
    for seq in (1, 3, 2):
        mailbox.post(command(seq))
    assert taken(mailbox) == [1, 2]
