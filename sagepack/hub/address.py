"""The address of a Hub, and who named it: messages say both, and a token goes only where the user's environment says."""

from __future__ import annotations

from sagepack.decoding import Value

DEFAULT = "https://huggingface.co"
VARIABLE, KEY, SANDBOX = "HF_ENDPOINT", "hub.endpoint", "the sandbox"


class HubAddress(Value, frozen=True):
    """Where a Hub is.

    Attributes:
        url: its address, without a slash at its end.
        source: who named it: the variable `HF_ENDPOINT`, the spec's key `hub.endpoint`, or the sandbox.
    """

    url: str = DEFAULT
    source: str = VARIABLE

    def __str__(self) -> str:
        return self.url if self.url == DEFAULT else f"{self.url} (from {self.source})"

    @property
    def pages(self) -> str:
        """Where the Hub's pages for people are; those of a miniature of the sandbox are the real Hub's."""
        return DEFAULT if self.source == SANDBOX else self.url

    @property
    def tokens(self) -> str:
        """The page where tokens are made."""
        return f"{self.pages}/settings/tokens"

    @property
    def login(self) -> str:
        """How the user gives a token for this Hub.

        A spec may come from anybody, in a pull request for example. So a token goes to a Hub that a spec names only if the
        user's environment names the same one.
        """
        if self.source == KEY and self.url != DEFAULT:
            return (
                f"`export HF_ENDPOINT={self.url} HF_TOKEN=...`: a token is sent only to the Hub that HF_ENDPOINT names"
            )
        return "`export HF_TOKEN=...` or `hf auth login`"


DEFAULT_HUB = HubAddress()
