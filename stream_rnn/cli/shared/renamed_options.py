"""Options with a new name: the old name works for one version, with a warning."""

import click

RENAMED = {  # old name: new name
    "--runs-max": "--batch-sequences",
    "--average": "--ema-decay",
    "--gradient-norm-max": "--clip-grad-norm",
    "--memory": "--chrono-steps",
    "--draws": "--bootstrap-samples",
}


class RenamingCommand(click.Command):
    """A command that also accepts the old names of its options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments after each old name is replaced by the new one."""
        options = {name for parameter in self.params for name in parameter.opts}
        end = args.index("--") if "--" in args else len(args)
        for index, word in enumerate(args[:end]):
            name, equals, value = word.partition("=")
            new = RENAMED.get(name)
            if new in options:
                click.echo(f"{name} is deprecated; use {new}", err=True)
                args[index] = f"{new}{equals}{value}"
        return super().parse_args(ctx, args)
