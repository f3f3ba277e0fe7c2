"""Kin: which of the kinds of one product are the same thing in wider, narrower or other words."""

from collections.abc import Sequence

from functions.derive_prompt.recognise.kinds import vocabulary
from functions.derive_prompt.recognise.roles import Role
from functions.derive_prompt.recognise.sources import NAME, Weighed


class Kin:
    """Which of the kinds of one product are kinds of which: by the vocabulary, and by the words that its name says of
    them, for a health faucet is a faucet."""

    def __init__(self, weighed: Sequence[Weighed]) -> None:
        heads = {
            mention.word: mention.meaning.root
            for mention, source, _ in weighed
            if source.field == NAME and mention.role is Role.HEAD and not mention.aside
        }
        self._alike: dict[tuple[str, str], set[str]] = {}
        for mention, source, _ in weighed:
            if source.field == NAME and mention.role is Role.HEAD:
                end = mention.word.rpartition(" ")[2] if mention.word.isascii() else mention.word[-1]
                self._alike.setdefault((end, mention.meaning.kind.template), set()).add(mention.meaning.root)
        self._wider_by_word: dict[str, set[str]] = {}
        for word, root in heads.items():
            for other, wider in heads.items():
                if wider != root and word.endswith(f" {other}" if other.isascii() else other) and len(other) > 1:
                    self._wider_by_word.setdefault(root, set()).add(wider)

    def wider(self, root: str) -> set[str]:
        """The kinds that a kind is one of."""
        return {*vocabulary().lineage(root), *self._wider_by_word.get(root, ())}

    def alike(self, root: str) -> set[str]:
        """The kinds that the name calls by words of the same end, filmed alike: 太阳镜, 墨镜 and 驾驶镜."""
        return set().union(*(roots for roots in self._alike.values() if root in roots))

    def related(self, root: str) -> set[str]:
        """The kind and those that it is one of."""
        return {root, *self.wider(root)}
