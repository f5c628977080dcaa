"""What the angle of a radar beside the road does to the speeds that it sees. Loaded when the angle is set."""

# 1/cos in 1/1000 at 0, 5 ... 60 degrees: a radar beside the road sees the speed times the cosine.
_SECANTS = (1000, 1004, 1015, 1035, 1064, 1103, 1155, 1221, 1305, 1414, 1556, 1743, 2000)


def secant(angle_deg: int) -> int:
    """What the speed along the road is of the speed that is seen, in 1/1000."""
    row, rest = divmod(min(max(angle_deg, 0), 59), 5)
    return _SECANTS[row] + (_SECANTS[row + 1] - _SECANTS[row]) * rest // 5
