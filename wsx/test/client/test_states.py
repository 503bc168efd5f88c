"""Tests of the transition table: complete, without dead ends, and shown in the documentation."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from wsx._client.states import IGNORED, TRANSITIONS, Action, Event, Machine, State, table

ROOT = Path(__file__).resolve().parents[3]

PAIRS = list(product(State, Event))

STATUSES = {
    State.NEW: "connecting",
    State.CONNECTING: "connecting",
    State.OPEN: "open",
    State.CLOSING: "closing",
    State.DISCONNECTED: "disconnected",
    State.WAITING: "disconnected",
    State.ENDING: "closing",
    State.TERMINATING: "disconnected",
    State.TERMINATED: "terminated",
}


def machine_in(state: State) -> Machine:
    """Return a machine that is in this state."""
    machine = Machine()
    machine.state = state
    return machine


def reachable(start: State) -> set[State]:
    """Return the states that can be reached from a state, including itself."""
    found, todo = {start}, [start]
    while todo:
        here = todo.pop()
        targets = {target for (state, _), (target, _) in TRANSITIONS.items() if state is here}
        todo.extend(targets - found)
        found |= targets
    return found


def run(*events: Event) -> Machine:
    """Return a machine that has handled these events."""
    machine = Machine()
    for event in events:
        machine.handle(event)
    return machine


class TableTests(SynchronousTestCase):
    """Every pair of a state and an event is a transition, ignored, or an error."""

    def test_transitions_and_ignored_are_disjoint(self) -> None:
        """No pair is both a transition and ignored."""
        self.assertEqual(set(TRANSITIONS) & IGNORED, set())

    def test_transitions(self) -> None:
        """A transition returns its actions and changes the state."""
        for (state, event), (target, actions) in TRANSITIONS.items():
            machine = machine_in(state)
            self.assertEqual(machine.handle(event), actions, (state, event))
            self.assertIs(machine.state, target, (state, event))

    def test_ignored(self) -> None:
        """An ignored event returns None and does not change the state."""
        self.assertTrue(IGNORED)
        for state, event in IGNORED:
            machine = machine_in(state)
            self.assertIsNone(machine.handle(event), (state, event))
            self.assertIs(machine.state, state, (state, event))

    def test_any_other_pair_raises(self) -> None:
        """Any other pair raises an error that names it, and does not change the state."""
        others = [pair for pair in PAIRS if pair not in TRANSITIONS and pair not in IGNORED]
        self.assertTrue(others)
        for state, event in others:
            machine = machine_in(state)
            error = self.assertRaises(RuntimeError, machine.handle, event)
            self.assertIn(event.name, str(error))
            self.assertIn(state.name, str(error))
            self.assertIs(machine.state, state, (state, event))

    def test_every_event_happens(self) -> None:
        """Every event has a transition."""
        self.assertEqual({event for _, event in TRANSITIONS}, set(Event))

    def test_every_action_is_used(self) -> None:
        """Every action is part of a transition."""
        used = {action for _, actions in TRANSITIONS.values() for action in actions}
        self.assertEqual(used, set(Action))

    def test_a_client_can_always_be_stopped(self) -> None:
        """``stop`` is allowed in every state: END is known in each of them."""
        for state in State:
            pair = (state, Event.END)
            self.assertTrue(pair in TRANSITIONS or pair in IGNORED, state)

    def test_a_client_can_always_be_closed(self) -> None:
        """``close`` is allowed in every state of a started client."""
        for state in set(State) - {State.NEW}:
            pair = (state, Event.CLOSE)
            self.assertTrue(pair in TRANSITIONS or pair in IGNORED, state)


class ReachTests(SynchronousTestCase):
    """Which states can be reached."""

    def test_first_state(self) -> None:
        """The first state is NEW."""
        self.assertIs(Machine().state, State.NEW)

    def test_every_state_is_reachable(self) -> None:
        """Every state can be reached from NEW."""
        self.assertEqual(reachable(State.NEW), set(State))

    def test_the_end_is_reachable_from_everywhere(self) -> None:
        """TERMINATED can be reached from every state."""
        for state in State:
            self.assertIn(State.TERMINATED, reachable(state), state)

    def test_terminated_is_final(self) -> None:
        """There is no transition from TERMINATED."""
        self.assertEqual([pair for pair in TRANSITIONS if pair[0] is State.TERMINATED], [])

    def test_no_way_back_from_the_end(self) -> None:
        """A client that is ending does not open a connection or wait for an attempt again."""
        for state in (State.ENDING, State.TERMINATING):
            alive = reachable(state) - {State.ENDING, State.TERMINATING, State.TERMINATED}
            self.assertEqual(alive, set(), state)

    def test_terminate_is_called_once(self) -> None:
        """Every transition into TERMINATING calls ``terminate``, and no other one does."""
        for pair, (target, actions) in TRANSITIONS.items():
            enters = target is State.TERMINATING and pair[0] is not State.TERMINATING
            self.assertEqual(actions.count(Action.CALL_TERMINATE), int(enters), pair)

    def test_handle_disconnect_is_called_once(self) -> None:
        """Every transition into DISCONNECTED calls ``handle_disconnect``, no other one does."""
        for pair, (target, actions) in TRANSITIONS.items():
            enters = target is State.DISCONNECTED
            self.assertEqual(actions.count(Action.CALL_DISCONNECT), int(enters), pair)

    def test_delivery_stops_before_terminate(self) -> None:
        """Delivery is stopped before ``terminate`` is called."""
        for (state, event), (target, actions) in TRANSITIONS.items():
            if target is State.TERMINATING and state is not State.ENDING:
                self.assertIn(Action.STOP_DELIVERY, actions, (state, event))
                stop, terminate = map(actions.index, (Action.STOP_DELIVERY, Action.CALL_TERMINATE))
                self.assertLess(stop, terminate, (state, event))
            if target is State.ENDING and state is not State.ENDING:
                self.assertIn(Action.STOP_DELIVERY, actions, (state, event))

    def test_close_timer_starts_before_the_close_frame(self) -> None:
        """The close timer starts before a close frame is written, because writing may fail."""
        sends = (Action.SEND_CLOSE, Action.ANSWER_CLOSE)
        checked = set()
        for pair, (_, actions) in TRANSITIONS.items():
            for send in set(sends) & set(actions):
                self.assertIn(Action.START_CLOSE_TIMER, actions, pair)
                timer, frame = map(actions.index, (Action.START_CLOSE_TIMER, send))
                self.assertLess(timer, frame, pair)
                checked.add(send)
        self.assertEqual(checked, set(sends))

    def test_close_timer_only_with_a_close_frame(self) -> None:
        """A transition that starts the close timer also sends a close frame."""
        for pair, (_, actions) in TRANSITIONS.items():
            if Action.START_CLOSE_TIMER in actions:
                self.assertTrue({Action.SEND_CLOSE, Action.ANSWER_CLOSE} & set(actions), pair)


class SequenceTests(SynchronousTestCase):
    """Sequences of events from the design."""

    def test_whole_lifecycle(self) -> None:
        """A client connects, reconnects, closes and does not reconnect."""
        machine = run(
            Event.START,
            Event.OPENED,
            Event.LOST,
            Event.RECONNECT,
            Event.RETRY,
            Event.OPENED,
            Event.CLOSE,
            Event.LOST,
            Event.GIVE_UP,
        )
        self.assertIs(machine.state, State.TERMINATING)
        self.assertEqual(machine.handle(Event.TERMINATE_RETURNED), (Action.FINISH,))
        self.assertIs(machine.state, State.TERMINATED)

    def test_close_while_connecting(self) -> None:
        """``close`` cancels the attempt, and ``handle_disconnect`` is called."""
        actions = run(Event.START).handle(Event.CLOSE)
        self.assertEqual(actions, (Action.CANCEL_ATTEMPT, Action.CALL_DISCONNECT))

    def test_stop_while_open(self) -> None:
        """``stop`` sends a close frame, waits with a limit, and skips ``handle_disconnect``."""
        machine = run(Event.START, Event.OPENED)
        actions = machine.handle(Event.END)
        assert actions is not None
        self.assertIn(Action.SEND_CLOSE, actions)
        self.assertIn(Action.START_CLOSE_TIMER, actions)
        self.assertEqual(machine.handle(Event.CLOSE_TIMEOUT), (Action.ABORT,))
        self.assertEqual(machine.handle(Event.LOST), (Action.CALL_TERMINATE,))

    def test_stop_while_closing_sends_no_second_close_frame(self) -> None:
        """``stop`` while closing does not send a second close frame."""
        actions = run(Event.START, Event.OPENED, Event.CLOSE).handle(Event.END)
        self.assertEqual(actions, (Action.STOP_DELIVERY,))

    def test_close_frame_of_the_server(self) -> None:
        """The server's close frame gets a reply, and the wait for the end of TCP is limited."""
        actions = run(Event.START, Event.OPENED).handle(Event.SERVER_CLOSE)
        self.assertEqual(actions, (Action.START_CLOSE_TIMER, Action.ANSWER_CLOSE))

    def test_stop_while_waiting(self) -> None:
        """A client that is stopped while it waits makes no further attempt."""
        machine = run(Event.START, Event.ATTEMPT_FAILED, Event.RECONNECT)
        actions = machine.handle(Event.END)
        assert actions is not None
        self.assertIs(actions[0], Action.CANCEL_DELAY)
        self.assertIs(machine.state, State.TERMINATING)


class StatusTests(SynchronousTestCase):
    """The public statuses of the states."""

    def test_public_statuses(self) -> None:
        """Every state has the status that the design names."""
        self.assertEqual({state: state.status for state in State}, STATUSES)

    def test_states_are_distinct(self) -> None:
        """Two states with the same status are different members (Enum can make aliases)."""
        self.assertEqual(len(set(State)), len(State.__members__))

    def test_every_state_has_a_meaning(self) -> None:
        """Every state has a text for the documentation."""
        for state in State:
            self.assertTrue(state.meaning, state)


class DiagramTests(SynchronousTestCase):
    """The table is drawn from the table."""

    def test_one_line_for_each_transition(self) -> None:
        """Every transition is one row of the table, with its event and its actions."""
        rows = table().splitlines()[2:]
        self.assertEqual(len(rows), len(TRANSITIONS))
        for (state, event), (target, actions) in TRANSITIONS.items():
            performed = ", ".join(action.value for action in actions)
            self.assertIn(f"| {state.name} | {event.value} | {target.name} | {performed} |", rows)

    def test_the_documentation_shows_it(self) -> None:
        """``docs/explanation/lifecycle.md`` shows the present table."""
        page = ROOT / "docs" / "explanation" / "lifecycle.md"
        if not ((ROOT / "pyproject.toml").exists() and page.parent.is_dir()):
            raise SkipTest("wsx is installed without its documentation")
        self.assertTrue(page.exists(), f"{page} is missing")
        self.assertIn(table(), page.read_text(encoding="utf-8"))
