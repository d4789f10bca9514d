"""Options that have a new name: the old one works for one version, with a warning."""

import click

RENAMED = {  # old name: new name
    "--runs-max": "--batch-sequences",
    "--average": "--ema-decay",
    "--gradient-norm-max": "--clip-grad-norm",
    "--memory": "--chrono-steps",
    "--draws": "--bootstrap-samples",
}


class RenamingCommand(click.Command):
    """A command that accepts the old names of its options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, with each old name replaced by the new one."""
        own = {name for parameter in self.params for name in parameter.opts}
        words = args.index("--") if "--" in args else len(args)
        for number, word in enumerate(args[:words]):
            name, equals, value = word.partition("=")
            new = RENAMED.get(name)
            if new in own:
                click.echo(f"{name} is deprecated; use {new}", err=True)
                args[number] = f"{new}{equals}{value}"
        return super().parse_args(ctx, args)
