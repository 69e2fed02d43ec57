"""Packed streams: each kind alone, in rows, with something between and behind, in blocks that lie, and behind other content."""
import base64, bz2, functools, gzip, io, lzma, struct, sys, tarfile, zlib
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *


def tar(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tool(program, *options):
    return functools.cache(lambda content: run(program, *options, content=content))


PACKINGS = dict(
    gz=lambda content: gzip.compress(content, 9, mtime=0),
    bz2=bz2.compress,
    xz=lzma.compress,
    lzma=lambda content: lzma.compress(content, format=lzma.FORMAT_ALONE),
    zst=tool("zstd", "-q", "-c", "-19"),
    zstunsized=tool("zstd", "-q", "-c", "--no-check"),
    lz4=tool("lz4", "-q", "-c", "-9"),
    lz4old=tool("lz4", "-q", "-c", "-l"),
    lz=tool("lzip", "-c"),
    Z=tool("compress", "-c", "-f"),
    zlib=zlib.compress,
)
PACKINGS = {name: pack for name, pack in PACKINGS.items() if pack(WORDS)}
LONG = WORDS + MARKER + WORDS
TAR = tar(("words.txt", WORDS), ("eicar.com", PAYLOAD))
HALVES = (WORDS + MARKER[:20], MARKER[20:] + WORDS)
SKIPPED = struct.pack("<II", 0x184D2A53, 5) + b"abcde"
# What may stand before a stream.
PREFIXES = dict(byte=b"x", mz=b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + bytes(400), sh=b"#!/bin/sh\ntail -n+3 $0 | zcat\n", zeros=bytes(512),
                gif=b"GIF89a\1\0\1\0\0\0\0;", pdf=b"%PDF-1.4\n%%EOF\n", html=b"<html></html>\n", elf=b"\x7fELF\2\1\1" + bytes(200),
                words=WORDS, noise=noise(3000), skipped=SKIPPED, many=SKIPPED * 300)

for name, pack in PACKINGS.items():
    put(f"clean-{name}", pack(WORDS))
    put(f"clean-tar-{name}", pack(tar(("words.txt", WORDS))))
    put(f"{name}-alone", pack(PAYLOAD))
    put(f"{name}-long", pack(LONG))
    put(f"{name}-tar", pack(TAR))
    put(f"{name}-twice", pack(pack(LONG)))
    for count, pieces in dict(two=[WORDS, LONG], halves=HALVES, empty=[b"", LONG],
                              blocks=[TAR[at:at + 1024] for at in range(0, len(TAR), 1024)],
                              many=[WORDS[:40]] * 300 + [LONG]).items():
        for between, filling in dict(none=b"", zeros=bytes(4), junk=b"junk!", skipped=SKIPPED).items():
            if count == "many" and between not in ("none", "zeros"):
                continue
            packed = [pack(piece) for piece in pieces] if count != "many" else [pack(pieces[0])] * 300 + [pack(LONG)]
            put(f"{name}-row-{count}-{between}", filling.join(packed))
    for prefix, content in PREFIXES.items():
        put(f"{name}-behind-{prefix}", content + pack(LONG))
        put(f"{name}-tar-behind-{prefix}", content + pack(TAR))
    for other, next_pack in PACKINGS.items():
        put(f"{name}-then-{other}", pack(WORDS) + next_pack(LONG))
        put(f"{name}-then-{other}-padded", pack(WORDS) + bytes(512) + next_pack(LONG))
        put(f"{name}-in-{other}", next_pack(pack(LONG)))
    # Damaged and cut: many tools write what they have.
    packed = pack(LONG + noise(20000) + WORDS)
    for cut in (1, 8, 50, 1000):
        put(f"{name}-cut-{cut}", packed[:-cut])
        put(f"{name}-damaged-{cut}", packed[:-cut] + bytes([packed[-cut] ^ 0x55]) + packed[len(packed) - cut + 1:])
    for at in range(2, 14):
        put(f"{name}-header-{at}", packed[:at] + bytes([packed[at] ^ 0x01]) + packed[at + 1:])
        put(f"{name}-header-high-{at}", packed[:at] + bytes([packed[at] ^ 0x80]) + packed[at + 1:])
    put(f"{name}-tail-noise", pack(LONG) + noise(500))
    put(f"{name}-tail-words", pack(WORDS) + WORDS + pack(LONG))

# gzip's optional fields, and bits without a meaning.
plain = PACKINGS["gz"](LONG)
for flags, fields in ((4, b"\4\0abcd"), (8, b"name\0"), (16, b"note\0"), (12, b"\4\0abcdname\0"), (28, b"\4\0abcdname\0note\0"), (1, b""), (32, b""),
                      (0x80, b""), (8, b"n" * 5000 + b"\0"), (4, struct.pack("<H", 65535) + bytes(65535)), (4, struct.pack("<H", len(plain)) + plain)):
    put(f"gz-flags-{flags}-{len(fields)}", plain[:3] + bytes([flags]) + plain[4:10] + fields + plain[10:])
header = plain[:3] + b"\2" + plain[4:10]
put("gz-header-sum", header + struct.pack("<H", zlib.crc32(header) & 0xFFFF) + plain[10:])
for method in (0, 7, 9):
    put(f"gz-method-{method}", plain[:2] + bytes([method]) + plain[3:])
for size in (0, 1, 0xFFFFFFFF):
    put(f"gz-size-{size}", plain[:-4] + struct.pack("<I", size))
stored = zlib.compressobj(0, zlib.DEFLATED, -15)
put("gz-stored", plain[:10] + stored.compress(LONG) + stored.flush() + plain[-8:])

# xz with filters, checks and blocks.
for name, filters in dict(x86=[lzma.FILTER_X86], arm=[lzma.FILTER_ARM], armthumb=[lzma.FILTER_ARMTHUMB], ia64=[lzma.FILTER_IA64],
                          powerpc=[lzma.FILTER_POWERPC], sparc=[lzma.FILTER_SPARC], two=[lzma.FILTER_X86, lzma.FILTER_ARM]).items():
    put(f"xz-filter-{name}", lzma.compress(LONG, filters=[{"id": each} for each in filters] + [{"id": lzma.FILTER_LZMA2}]))
put("xz-filter-delta", lzma.compress(LONG, filters=[{"id": lzma.FILTER_DELTA, "dist": 7}, {"id": lzma.FILTER_LZMA2}]))
for name, check in dict(none=lzma.CHECK_NONE, crc32=lzma.CHECK_CRC32, sha256=lzma.CHECK_SHA256).items():
    put(f"xz-check-{name}", lzma.compress(LONG, check=check))
    put(f"xz-check-{name}-twice", lzma.compress(WORDS, check=check) + lzma.compress(LONG, check=check))
for name, options in dict(arm64=["--arm64", "--lzma2"], riscv=["--riscv", "--lzma2"], blocks=["--block-size=512"], threads=["-T2", "--block-size=700"]).items():
    content = run("xz", "-c", *options, content=LONG * 3)
    if content:
        put(f"xz-option-{name}", content)
# lzma with a known size, an end mark, and unusual parameters.
for lc, lp, pb in ((3, 0, 2), (0, 0, 0), (4, 0, 4), (0, 4, 0), (1, 3, 1)):
    for dictionary in (4096, 5000, 1 << 16, 3 << 15, 1 << 26):
        packed = lzma.compress(LONG, format=lzma.FORMAT_ALONE, filters=[
            {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": dictionary}])
        put(f"lzma-{lc}{lp}{pb}-{dictionary}", packed)
        put(f"lzma-{lc}{lp}{pb}-{dictionary}-sized", packed[:5] + struct.pack("<Q", len(LONG)) + packed[13:])
put("lzma-raw", lzma.compress(LONG, format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1}]))
for bits in range(9, 17):
    packed = run("compress", "-c", "-f", f"-b{bits}", content=LONG)
    if packed:
        put(f"Z-bits-{bits}", packed)
        put(f"Z-bits-{bits}-old", packed[:2] + bytes([packed[2] & 0x7F]) + packed[3:])
for level in (1, 3, 9, 19):
    for options in ([], ["--long=27"], ["--no-check"], ["--content-size"]):
        packed = run("zstd", "-q", "-c", f"-{level}", *options, content=LONG)
        if packed:
            put(f"zst-{level}-{''.join(options)}", packed)
for options in (["-B4"], ["-B7", "-BD"], ["--content-size"], ["--no-frame-crc"], ["-BX"], ["-l"]):
    packed = run("lz4", "-q", "-c", "-9", *options, content=LONG * 3)
    if packed:
        put(f"lz4-{''.join(options)}", packed)
        put(f"lz4-{''.join(options)}-row", packed + packed)
for name in ("zst", "lz4"):
    if name in PACKINGS:
        packed = PACKINGS[name](LONG)
        put(f"{name}-skip-short", struct.pack("<II", 0x184D2A50, 1000) + bytes(1000) + packed)
        put(f"{name}-skip-past", struct.pack("<II", 0x184D2A50, 0xFFFFFFF0) + packed)
        put(f"{name}-skip-alone", SKIPPED + b"x" + packed)
        put(f"{name}-skip-in-row", packed[:0] + SKIPPED + PACKINGS[name](WORDS) + SKIPPED * 3 + packed)
for wbits in range(9, 16):
    stream = zlib.compressobj(9, zlib.DEFLATED, wbits)
    put(f"zlib-window-{wbits}", stream.compress(LONG) + stream.flush())
put("zlib-tail", zlib.compress(LONG) + b"\n")
put("zlib-twice", zlib.compress(WORDS) + zlib.compress(LONG))
# What writers do not make and readers take all the same.
packed = lzma.compress(LONG, format=lzma.FORMAT_ALONE)
for dictionary in (0, 1, 64, 512, 12345, 0xFFFFFFFF):
    put(f"lzma-dictionary-{dictionary}", packed[:1] + struct.pack("<I", dictionary) + packed[5:])
    put(f"lzma-dictionary-{dictionary}-sized", packed[:1] + struct.pack("<IQ", dictionary, len(LONG)) + packed[13:])
for size in (len(LONG) - 1, 1 << 45, 1 << 55):
    put(f"lzma-size-{size}", packed[:5] + struct.pack("<Q", size) + packed[13:])
for filtered in (0, 1):
    put(f"lzma86-{filtered}", bytes([filtered]) + packed[:5] + struct.pack("<Q", len(LONG)) + packed[13:])
for number, (lc, lp, pb) in enumerate([(0, 0, 0), (4, 0, 0), (0, 4, 4), (1, 2, 3), (2, 2, 1)]):
    properties = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": 1 << 16}
    odd = lzma.compress(PAYLOAD, format=lzma.FORMAT_ALONE, filters=[properties])
    for dictionary in (0, 5000, 65537, 123456789, 0x7FFFFFFF, 0xFFFFFFFF):
        for size in (len(PAYLOAD), 1 << 45):
            file = odd[:1] + struct.pack("<IQ", dictionary, size) + odd[13:]
            put(f"lzma-odd-{number}-{dictionary}-{size}", file)
            put(f"lzma-odd-{number}-{dictionary}-{size}-86", bytes([dictionary & 1]) + file)
# Damage that some readers of zlib and gzip pass over.
stored = lambda content, last, damage: bytes([last]) + struct.pack("<HH", len(content), len(content) ^ 0xFFFF ^ damage) + content
window = bytes([0x98, -0x9800 % 31]) + zlib.compress(LONG)[2:]
for name, damaged in dict(window=window, sum=zlib.compress(LONG)[:-1] + b"x", complement=b"\x78\x01" + stored(LONG, 1, 1), behind=b"\x78\x01" + stored(LONG, 0, 0) + b"\x07" + noise(30)).items():
    put(f"zlib-damaged-{name}", damaged)
    put(f"gz-damaged-{name}", b"\x1F\x8B\x08" + bytes(6) + b"\3" + damaged[2:] + struct.pack("<II", zlib.crc32(LONG), len(LONG)))
bits = "".join(f"{byte:09b}"[::-1] for byte in PAYLOAD)
bits += "0" * (-len(bits) % 8)
for flags in (0x90, 0x30, 0x50, 0xF0):
    put(f"Z-flags-{flags:02x}", bytes([0x1F, 0x9D, flags]) + bytes(int(bits[at:at + 8][::-1], 2) for at in range(0, len(bits), 8)))
for version, start in ((5, b"\x08"), (6, b"\x08"), (7, b"\0\x58")):
    put(f"zst-version-{version}", bytes([0x20 + version]) + b"\xB5\x2F\xFD" + start + b"\x40" + struct.pack(">H", len(LONG)) + LONG + b"\xC0\0\0")
# Files that are written as text.
def records(content, end="\r\n"):
    lines = [bytes([len(content[at:at + 16])]) + struct.pack(">HB", at, 0) + content[at:at + 16] for at in range(0, len(content), 16)]
    lines.append(b"\0\0\0\1")
    return end.join(":" + (line + bytes([-sum(line) & 255])).hex().upper() for line in lines).encode() + b"\r\n"


for name, end in dict(crlf="\r\n", lf="\n", blank="\n\n", none="").items():
    put(f"ihex-{name}", records(PAYLOAD, end))
put("ihex-lower", records(PAYLOAD).lower())
put("base64-lines", base64.encodebytes(PAYLOAD))
put("base64", base64.b64encode(LONG))
put("clean-words.txt", b"\n".join(b"word%d" % n for n in range(1000)))
