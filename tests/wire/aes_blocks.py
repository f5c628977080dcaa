"""AES-128 encryption of single blocks (FIPS 197), for an interpreter that has no cipher at all. Slow; tests only."""


def _sbox():
    box = bytearray(256)
    box[0] = 0x63
    p = q = 1
    while True:
        p ^= (p << 1 & 255) ^ (0x1B if p & 128 else 0)  # p * 3
        q ^= q << 1  # q / 3
        q ^= q << 2
        q ^= q << 4
        q &= 255
        if q & 128:
            q ^= 9
        x = q
        for turn in (1, 2, 3, 4):
            x ^= (q << turn | q >> (8 - turn)) & 255
        box[p] = x ^ 0x63
        if p == 1:
            return bytes(box)


SBOX = _sbox()


def _double(byte):
    return byte << 1 & 255 ^ (0x1B if byte & 128 else 0)


def _round_keys(key):
    keys = bytearray(176)
    keys[:16] = key
    constant = 1
    for at in range(16, 176, 4):
        for i in range(4):
            keys[at + i] = keys[at + i - 16] ^ (SBOX[keys[at - 4 + (i + 1) % 4]] if at % 16 == 0 else keys[at - 4 + i])
        if at % 16 == 0:
            keys[at] ^= constant
            constant = _double(constant)
    return keys


def new_ecb(key):
    """As wire.crypto.new_ecb. Leaves no garbage behind: one of the interpreters must not collect any."""
    keys = _round_keys(key)
    state = bytearray(16)
    moved = bytearray(16)

    def ecb(source, target):
        for i in range(16):
            state[i] = source[i] ^ keys[i]
        for at in range(16, 176, 16):
            for i in range(16):
                moved[i] = SBOX[state[(i + 4 * (i % 4)) % 16]]
            if at < 160:
                for column in range(0, 16, 4):
                    a = moved[column]
                    b = moved[column + 1]
                    c = moved[column + 2]
                    d = moved[column + 3]
                    every = a ^ b ^ c ^ d
                    state[column] = a ^ every ^ _double(a ^ b)
                    state[column + 1] = b ^ every ^ _double(b ^ c)
                    state[column + 2] = c ^ every ^ _double(c ^ d)
                    state[column + 3] = d ^ every ^ _double(d ^ a)
            else:
                state[:] = moved
            for i in range(16):
                state[i] ^= keys[at + i]
        target[:] = state

    return ecb
