"""Text from files and arguments, made safe to show."""

__all__ = ["printable"]


def printable(text: str) -> str:
    """Escape line breaks, terminal controls and lone surrogates, which a hostile file may put into a name."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )
