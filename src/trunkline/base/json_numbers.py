"""Numbers of JSON as the originals read and print them, each rule found by experiment.

- a number whose value is a 64-bit integer is an integer, however written: ``1.0``, ``1e3``, ``15e-1`` not;
- ``-0`` and ``-0.0`` are the integer 0;
- other numbers are reals and print with 15 significant digits; subnormal and infinite ones are errors;
- an exponent is read up to 32 bits, whatever it stands at; beyond that the number is an error, even a zero.
"""

from typing import Final

INTEGER_MIN: Final = -(1 << 63)
INTEGER_MAX: Final = (1 << 63) - 1
SMALLEST_REAL: Final = 2.2250738585072014e-308
# The exponent the originals stop reading at: they hold it in 32 bits.
EXPONENT_MAX: Final = (1 << 31) // 10


def number(text: str) -> int | float:
    """The value of a well-formed JSON number.  Raises ValueError when it is out of range."""
    mantissa, _, exponent_text = text.replace("E", "e").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = exponent_text.lstrip("+-").lstrip("0")
    if len(digits) > 10 or (digits and int(digits[:-1] or "0") >= EXPONENT_MAX):
        raise ValueError("exponent outside valid range")
    fraction = fraction.rstrip("0")
    power = int(exponent_text or "0") - len(fraction)
    significand = (whole + fraction).lstrip("-").lstrip("0")
    if not significand:
        return 0
    if len(significand) + power <= 20:
        stripped = significand.rstrip("0")
        power += len(significand) - len(stripped)
        if power >= 0:
            value: int = int(stripped + "0" * power)
            value = -value if whole.startswith("-") else value
            if INTEGER_MIN <= value <= INTEGER_MAX:
                return value
    real = float(text)
    if real and not SMALLEST_REAL <= abs(real) < float("inf"):
        raise ValueError("number outside valid range")
    return real


def real_text(value: float) -> str:
    """A real as the originals print it: 15 significant digits, no decimal point when there is no fraction."""
    return f"{value:.15g}"
