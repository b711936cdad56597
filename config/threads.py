"""How threads notify."""

from dataclasses import dataclass

from config.fields import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadSubscriptionsConfig:
    """Threads that users subscribe to (MSC4306, MSC4308)."""

    enabled: bool = setting(
        "Let users subscribe to threads. Then messages in threads notify only those who are subscribed and those who "
        "are mentioned, also users of clients that know nothing of subscriptions. What was said before it is switched "
        "on or off counts as it did then.",
        default=False,
    )
