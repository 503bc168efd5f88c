"""Tests of the lifecycle's table: it is complete, it leads out, and the documentation shows it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from wsx._client.states import IGNORED, TRANSITIONS, Action, Event, Machine, State, diagram

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
    """Gives a machine that is in this state."""
    machine = Machine()
    machine.state = state
    return machine


def reachable(start: State) -> set[State]:
    """Gives the states that events can lead to, with the one it starts from."""
    found, todo = {start}, [start]
    while todo:
        here = todo.pop()
        targets = {target for (state, _), (target, _) in TRANSITIONS.items() if state is here}
        todo.extend(targets - found)
        found |= targets
    return found


def run(*events: Event) -> Machine:
    """Gives a machine to which this has happened."""
    machine = Machine()
    for event in events:
        machine.handle(event)
    return machine


class TableTests(SynchronousTestCase):
    """Every pair of a state and an event has exactly one meaning."""

    def test_transitions_and_ignored_are_disjoint(self) -> None:
        """No pair is both a transition and too late."""
        self.assertEqual(set(TRANSITIONS) & IGNORED, set())

    def test_transitions(self) -> None:
        """A pair of the table gives its actions and leads to its state."""
        for (state, event), (target, actions) in TRANSITIONS.items():
            machine = machine_in(state)
            self.assertEqual(machine.handle(event), actions, (state, event))
            self.assertIs(machine.state, target, (state, event))

    def test_ignored(self) -> None:
        """An event that comes too late gives None and changes nothing."""
        self.assertTrue(IGNORED)
        for state, event in IGNORED:
            machine = machine_in(state)
            self.assertIsNone(machine.handle(event), (state, event))
            self.assertIs(machine.state, state, (state, event))

    def test_any_other_pair_raises(self) -> None:
        """A pair that stands nowhere is a mistake, names itself and changes nothing."""
        others = [pair for pair in PAIRS if pair not in TRANSITIONS and pair not in IGNORED]
        self.assertTrue(others)
        for state, event in others:
            machine = machine_in(state)
            error = self.assertRaises(RuntimeError, machine.handle, event)
            self.assertIn(event.name, str(error))
            self.assertIn(state.name, str(error))
            self.assertIs(machine.state, state, (state, event))

    def test_every_event_happens(self) -> None:
        """No event is there for nothing."""
        self.assertEqual({event for _, event in TRANSITIONS}, set(Event))

    def test_every_action_is_used(self) -> None:
        """No action is there for nothing."""
        used = {action for _, actions in TRANSITIONS.values() for action in actions}
        self.assertEqual(used, set(Action))

    def test_a_client_can_always_be_stopped(self) -> None:
        """``stop`` is served in every state: END is known in each of them."""
        for state in State:
            pair = (state, Event.END)
            self.assertTrue(pair in TRANSITIONS or pair in IGNORED, state)

    def test_a_client_can_always_be_closed(self) -> None:
        """``close`` is served in every state that a user can meet."""
        for state in set(State) - {State.NEW}:
            pair = (state, Event.CLOSE)
            self.assertTrue(pair in TRANSITIONS or pair in IGNORED, state)


class ReachTests(SynchronousTestCase):
    """Where the table leads."""

    def test_begins_new(self) -> None:
        """A machine begins in NEW."""
        self.assertIs(Machine().state, State.NEW)

    def test_every_state_is_reachable(self) -> None:
        """Every state can come about."""
        self.assertEqual(reachable(State.NEW), set(State))

    def test_the_end_is_reachable_from_everywhere(self) -> None:
        """No state is a trap: TERMINATED can be reached from each."""
        for state in State:
            self.assertIn(State.TERMINATED, reachable(state), state)

    def test_the_end_has_no_way_out(self) -> None:
        """Nothing leads out of TERMINATED."""
        self.assertEqual([pair for pair in TRANSITIONS if pair[0] is State.TERMINATED], [])

    def test_no_way_back_from_the_end(self) -> None:
        """A client that has begun to end neither opens nor waits any more."""
        for state in (State.ENDING, State.TERMINATING):
            alive = reachable(state) - {State.ENDING, State.TERMINATING, State.TERMINATED}
            self.assertEqual(alive, set(), state)

    def test_terminate_is_called_once_on_every_way(self) -> None:
        """Every way into TERMINATING calls terminate, no other transition does."""
        for pair, (target, actions) in TRANSITIONS.items():
            enters = target is State.TERMINATING and pair[0] is not State.TERMINATING
            self.assertEqual(actions.count(Action.CALL_TERMINATE), int(enters), pair)

    def test_handle_disconnect_is_called_once_on_every_way(self) -> None:
        """Every way into DISCONNECTED calls handle_disconnect, no other transition does."""
        for pair, (target, actions) in TRANSITIONS.items():
            enters = target is State.DISCONNECTED
            self.assertEqual(actions.count(Action.CALL_DISCONNECT), int(enters), pair)

    def test_silence_before_terminate(self) -> None:
        """On every way to the end, delivery has ended before terminate is called."""
        for (state, event), (target, actions) in TRANSITIONS.items():
            if target is State.TERMINATING and state is not State.ENDING:
                self.assertIn(Action.SILENCE, actions, (state, event))
                silence, terminate = map(actions.index, (Action.SILENCE, Action.CALL_TERMINATE))
                self.assertLess(silence, terminate, (state, event))
            if target is State.ENDING and state is not State.ENDING:
                self.assertIn(Action.SILENCE, actions, (state, event))


class WayTests(SynchronousTestCase):
    """Ways through the table that the design names."""

    def test_a_life(self) -> None:
        """Connect, lose, reconnect, close, give up."""
        machine = run(
            Event.START,
            Event.OPENED,
            Event.LOST,
            Event.RECONNECT,
            Event.DUE,
            Event.OPENED,
            Event.CLOSE,
            Event.LOST,
            Event.GIVE_UP,
        )
        self.assertIs(machine.state, State.TERMINATING)
        self.assertEqual(machine.handle(Event.DONE), (Action.FINISH,))
        self.assertIs(machine.state, State.TERMINATED)

    def test_close_while_connecting(self) -> None:
        """``close`` aborts the attempt, which then counts as lost."""
        actions = run(Event.START).handle(Event.CLOSE)
        self.assertEqual(actions, (Action.ABANDON, Action.CALL_DISCONNECT))

    def test_stop_while_open(self) -> None:
        """``stop`` says goodbye, waits for the peer at most so long, and skips disconnect."""
        machine = run(Event.START, Event.OPENED)
        actions = machine.handle(Event.END)
        assert actions is not None
        self.assertIn(Action.SEND_CLOSE, actions)
        self.assertIn(Action.START_CLOSE_TIMER, actions)
        self.assertEqual(machine.handle(Event.CLOSE_OVERDUE), (Action.CUT,))
        self.assertEqual(machine.handle(Event.LOST), (Action.CALL_TERMINATE,))

    def test_stop_while_closing_sends_no_second_close_frame(self) -> None:
        """A connection gets one close frame."""
        actions = run(Event.START, Event.OPENED, Event.CLOSE).handle(Event.END)
        self.assertEqual(actions, (Action.SILENCE,))

    def test_close_frame_of_the_peer(self) -> None:
        """The peer's close frame is answered, and TCP has so long to end."""
        actions = run(Event.START, Event.OPENED).handle(Event.PEER_CLOSE)
        self.assertEqual(actions, (Action.ANSWER_CLOSE, Action.START_CLOSE_TIMER))

    def test_stop_while_waiting(self) -> None:
        """A client that is stopped makes no further attempt."""
        machine = run(Event.START, Event.FAILED, Event.RECONNECT)
        actions = machine.handle(Event.END)
        assert actions is not None
        self.assertIs(actions[0], Action.STOP_WAITING)
        self.assertIs(machine.state, State.TERMINATING)


class StatusTests(SynchronousTestCase):
    """What users see of the states."""

    def test_public_statuses(self) -> None:
        """Every state has the word of the design for it."""
        self.assertEqual({state: state.status for state in State}, STATUSES)

    def test_states_are_distinct(self) -> None:
        """Two states with the same status are still two (Enum would make them aliases)."""
        self.assertEqual(len(set(State)), len(State.__members__))

    def test_every_state_says_what_it_means(self) -> None:
        """Every state carries a meaning, for whoever reads the table."""
        for state in State:
            self.assertTrue(state.meaning, state)


class DiagramTests(SynchronousTestCase):
    """The diagram is drawn from the table."""

    def test_one_line_for_each_transition(self) -> None:
        """Every transition is shown once, with its event and its actions."""
        lines = diagram().splitlines()
        self.assertEqual(lines[0], "stateDiagram-v2")
        self.assertEqual(lines[1].strip(), "[*] --> NEW")
        self.assertEqual(lines[-1].strip(), "TERMINATED --> [*]")
        arrows = [line.strip() for line in lines[2:-1]]
        self.assertEqual(len(arrows), len(TRANSITIONS))
        for (state, event), (target, actions) in TRANSITIONS.items():
            does = ", ".join(action.value for action in actions)
            self.assertIn(f"{state.name} --> {target.name}: {event.value} / {does}", arrows)

    def test_the_documentation_shows_it(self) -> None:
        """``docs/lifecycle.md`` holds the diagram as the table draws it now."""
        page = ROOT / "docs" / "lifecycle.md"
        if not ((ROOT / "pyproject.toml").exists() and page.parent.is_dir()):
            raise SkipTest("wsx is installed without its documentation")
        self.assertTrue(page.exists(), f"{page} is missing")
        self.assertIn(f"```mermaid\n{diagram()}```", page.read_text(encoding="utf-8"))
