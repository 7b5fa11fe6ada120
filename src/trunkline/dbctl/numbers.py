"""Numbers in arguments, read as the C library reads them: what does not start like a number is 0."""


def leading_integer(text: str) -> int:
    """As atoi(3): the integer that `text` begins with, else 0."""
    text = text.lstrip()
    end = 1 if text[:1] in ("+", "-") else 0
    while end < len(text) and text[end] in "0123456789":
        end += 1
    digits = text[:end]
    return int(digits) if digits.strip("+-") else 0


def long_integer(text: str) -> int:
    """As strtoll(3) with base 0: hexadecimal after "0x", octal after "0", within 64 bits."""
    text = text.lstrip(" \t\n\v\f\r")
    sign = -1 if text[:1] == "-" else 1
    text = text[1:] if text[:1] in ("+", "-") else text
    digits, base = "0123456789", 10
    if text[:2].lower() == "0x" and text[2:3] and text[2] in "0123456789abcdefABCDEF":
        text, digits, base = text[2:], "0123456789abcdefABCDEF", 16
    elif text[:1] == "0":
        digits, base = "01234567", 8
    end = 0
    while end < len(text) and text[end] in digits:
        end += 1
    number = sign * int(text[:end] or "0", base)
    return max(-(1 << 63), min(number, (1 << 63) - 1))
