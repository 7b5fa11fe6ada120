"""What a protocol's state machine says of a packet of a connection that is there."""

VALID = 0  # it belongs to it: established
FRESH = 1  # it belongs to it, and the connection is still new
NEW = 2  # it begins another with the same tuple
INVALID = 3
