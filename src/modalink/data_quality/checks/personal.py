"""Personal data in texts, by rules: addresses of mail, international numbers of telephones, numbers of cards."""

import re
from collections.abc import Iterator
from typing import Literal

from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample

_MAIL = re.compile(r"\b[\w.+-]+@(?!example\.)[\w-]+(?:\.[\w-]+)*\.[a-z]{2,24}\b", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w+])\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}(?!\d)")
_CARD = re.compile(r"(?<![\d.])(?:\d[ -]?){12,18}\d(?![\d.])")


class PersonalConfig(CheckConfig):
    """Settings of the check of personal data; names and faces are beyond rules."""

    kind: Literal["personal"] = "personal"

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Personal()


class _Personal(Check):
    def look(self, sample: Sample) -> Iterator[Fault]:
        said = sample.said()
        if found := _MAIL.search(said):
            yield Fault.of(sample, "mail_address", f"holds an address of mail, {_hidden(found[0])}")
        if found := _PHONE.search(said):
            yield Fault.of(sample, "phone_number", f"holds a number of a telephone, {_hidden(found[0])}")
        if card := next((number[0] for number in _CARD.finditer(said) if _is_card(number[0])), None):
            yield Fault.of(sample, "card_number", f"holds a number of a card, {_hidden(card)}")


def _hidden(text: str) -> str:
    """Only the first signs of it: ledgers are passed on."""
    return text[:3] + "..."


def _is_card(text: str) -> bool:
    """Whether digits have the checksum of Luhn, and are not all the same."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) if at % 2 else digit for at, digit in enumerate(reversed(digits)))
    return len({*digits}) > 1 and sum(doubled) % 10 == 0
