"""Numbers in arguments, read as the C library reads them: what does not start like a number is 0."""


def leading_integer(text: str) -> int:
    """As atoi(3): the integer that `text` begins with, else 0."""
    text = text.lstrip()
    end = 1 if text[:1] in ("+", "-") else 0
    while end < len(text) and text[end] in "0123456789":
        end += 1
    digits = text[:end]
    return int(digits) if digits.strip("+-") else 0
