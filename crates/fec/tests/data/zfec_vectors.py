"""Parity symbols as the zfec package computes them, for tests/zfec.rs."""

import zfec


def byte(symbol, offset):
    return (31 * symbol * symbol + 7 * offset + 13 * symbol * offset + 5) % 251


LENGTH = 6
print("# pip install zfec==1.6.0.0 && python tests/data/zfec_vectors.py > tests/data/zfec.txt")
print("# Symbol j byte i of the data is (31 j j + 7 i + 13 i j + 5) mod 251. Columns: k, n, index, parity symbol.")
for k, n in [(2, 3), (2, 255), (4, 7), (8, 12), (16, 20), (32, 40), (64, 80), (128, 255)]:
    data = [bytes(byte(j, i) for i in range(LENGTH)) for j in range(k)]
    indices = range(k, n) if n < 255 else [k, k + 1, (k + n) // 2, n - 2, n - 1]
    for index, parity in zip(indices, zfec.Encoder(k, n).encode(data, tuple(indices))):
        print(k, n, index, parity.hex())
