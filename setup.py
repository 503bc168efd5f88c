"""The metadata is in pyproject.toml; here is what it cannot say."""

from setuptools import setup
from setuptools.command.editable_wheel import editable_wheel


class CompatibleEditable(editable_wheel):
    """Makes ``pip install -e .`` put this folder on the path.

    The default mode maps the packages that it knows by an import hook, and that hook does not reach
    ``twisted.plugins``, which is ours and Twisted's at once: twistd would not find the plugin.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        self.mode = "compat"


setup(cmdclass={"editable_wheel": CompatibleEditable})
