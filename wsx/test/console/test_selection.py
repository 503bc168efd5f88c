"""Tests of wsx._console.selection: which front end and which reactor."""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet import asyncioreactor
from twisted.trial.unittest import SynchronousTestCase

from wsx._console import selection
from wsx._console.plain import Plain
from wsx._console.selection import choose_frontend, choose_reactor
from wsx.test.support.console import Terminal
from wsx.test.support.extras import require
from wsx.test.support.sockets import global_reactor


class SelectionCase(SynchronousTestCase):
    """Base class: a terminal, prompt_toolkit, and an asyncio reactor that does not run."""

    def setUp(self) -> None:
        self.patch(sys, "__stdin__", Terminal())
        self.patch(sys, "__stdout__", Terminal())
        state = str(Path(self.mktemp()).absolute())
        self.patch(os, "environ", {"TERM": "xterm", "XDG_STATE_HOME": state})
        self.state = Path(state)
        self.specs: dict[str, Any] = {"prompt_toolkit": object()}
        self.patch(selection, "find_spec", self.specs.get)
        self.reactor = asyncioreactor.AsyncioSelectorReactor.__new__(
            asyncioreactor.AsyncioSelectorReactor
        )

    def frontend(self, reactor: Any = None, **options: Any) -> Any:
        """Return the front end that is chosen."""
        defaults: dict[str, Any] = {"as_json": False, "store_history": True, "program": "wsx"}
        return choose_frontend(reactor or self.reactor, **(defaults | options))


class FrontendTests(SelectionCase):
    """Which front end."""

    def test_terminal(self) -> None:
        """On a terminal, with the extra and an asyncio reactor, lines can be edited."""
        require("prompt_toolkit")
        self.assertNotIsInstance(self.frontend(), Plain)
        self.assertTrue((self.state / "wsx" / "history").exists())

    def test_no_history(self) -> None:
        """No file is made if none is wanted."""
        require("prompt_toolkit")
        self.frontend(store_history=False)
        self.assertFalse(self.state.exists())

    def test_history_cannot_be_opened(self) -> None:
        """Without a history that can be opened, lines are not stored, and a notice says so."""
        require("prompt_toolkit")
        self.state.write_text("a file in place of the folder")
        notices: list[str] = []
        from wsx._console.terminal import Terminal

        self.patch(Terminal, "notice", lambda _, text: notices.append(text))
        frontend = self.frontend()
        frontend._history.append_string("one")
        self.assertEqual(frontend._history.get_strings(), ["one"])
        [notice] = notices
        self.assertTrue(notice.startswith("typed lines are not stored: "), notice)
        self.assertTrue(notice.endswith('/wsx/history": Not a directory'), notice)

    def test_other_reactor(self) -> None:
        """On another reactor, they cannot."""
        self.assertIsInstance(self.frontend(object()), Plain)

    def test_json(self) -> None:
        """Records as JSON need no prompt."""
        self.assertIsInstance(self.frontend(as_json=True), Plain)

    def test_no_terminal(self) -> None:
        """If either stream is a pipe, or closed, there is no prompt."""
        for name in ("__stdin__", "__stdout__"):
            for stream in (StringIO(), None):
                self.patch(sys, "__stdin__", Terminal())
                self.patch(sys, "__stdout__", Terminal())
                self.patch(sys, name, stream)
                self.assertIsInstance(self.frontend(), Plain)

    def test_dumb_terminal(self) -> None:
        """A dumb terminal cannot move its cursor."""
        self.patch(os, "environ", {"TERM": "dumb"})
        self.assertIsInstance(self.frontend(), Plain)

    def test_without_the_extra(self) -> None:
        """Without prompt_toolkit the plain console remains."""
        self.specs.clear()
        self.assertIsInstance(self.frontend(), Plain)


class ReactorTests(SelectionCase):
    """Which reactor."""

    def setUp(self) -> None:
        super().setUp()
        self.installed: list[Any] = []
        self.patch(asyncioreactor, "install", self._install)

    def _install(self, loop: Any) -> None:
        loop.close()
        self.installed.append(loop)

    def without_reactor(self) -> None:
        """Pretend that no reactor is installed."""
        modules = {k: v for k, v in sys.modules.items() if k != "twisted.internet.reactor"}
        self.patch(sys, "modules", modules)

    def test_installed(self) -> None:
        """The asyncio reactor is installed for a terminal."""
        self.without_reactor()
        choose_reactor()
        self.assertEqual(len(self.installed), 1)

    def test_pipe(self) -> None:
        """A pipe does not need it."""
        self.without_reactor()
        self.patch(sys, "__stdin__", StringIO())
        choose_reactor()
        self.assertEqual(self.installed, [])

    def test_chosen(self) -> None:
        """A reactor that the user has chosen stays."""
        global_reactor()
        choose_reactor()
        self.assertEqual(self.installed, [])
