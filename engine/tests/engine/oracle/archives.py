"""Archives other than zip: packings, filters, headers that lie, what is between members, behind the end and before the start."""
import bz2, gzip, io, itertools, lzma, os, struct, sys, tarfile, tempfile, zlib
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *

PREFIXES = dict(byte=b"x", mz=b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + bytes(400), sh=b"#!/bin/sh\nexit\n", zeros=bytes(512), gif=b"GIF89a\1\0\1\0\0\0\0;",
                pdf=b"%PDF-1.4\n%%EOF\n", html=b"<html></html>\n", words=WORDS, marks=b"7z\xbc\xaf\x27\x1c" * 12 + b"\x60\xea" * 12)
TAILS = dict(byte=b"x", zeros=bytes(1024), words=WORDS, noise=noise(700))


def variants(name, content, prefixes=PREFIXES, tails=TAILS):
    """An archive alone, behind prefixes, and before other bytes."""
    put(name, content)
    for prefix, before in prefixes.items():
        put(f"{name}-behind-{prefix}", before + content)
    for tail, after in tails.items():
        put(f"{name}-before-{tail}", content + after)


def by(*commands, files=None):
    """What programs leave as the file `made`, of the words and the payload."""
    with tempfile.TemporaryDirectory() as place:
        for name, content in (files or {"words.txt": WORDS, "eicar.com": PAYLOAD}).items():
            os.makedirs(os.path.dirname(f"{place}/{name}"), exist_ok=True)
            open(f"{place}/{name}", "wb").write(content)
        for command in commands:
            if run(*command, directory=place) is None:
                return None
        made = next((f"{place}/{name}" for name in ("made", "made.7z", "made.arj") if os.path.exists(f"{place}/{name}")), None)
        return made and open(made, "rb").read()


# 7z
def seven(name, *steps):
    content = by(*[["7z", "a", "-y", "made.7z", *step] for step in steps])
    if content:
        variants(f"7z-{name}", content, {"mz": PREFIXES["mz"]}, {})
    return content


for method in ("LZMA", "LZMA2", "BZip2", "PPMd", "Deflate", "Deflate64", "Copy"):
    seven(f"alone-{method}", ["eicar.com", f"-m0={method}"])
    seven(f"beside-{method}", ["words.txt", "-m0=LZMA"], ["eicar.com", f"-m0={method}"])
    seven(f"first-{method}", ["eicar.com", f"-m0={method}"], ["words.txt", "-m0=LZMA2"])
    seven(f"solid-{method}", ["words.txt", "eicar.com", "-ms=on", f"-m0={method}"])
    seven(f"header-{method}", ["words.txt", "eicar.com", "-mhc=off", f"-m0={method}"])
for coder in ("BCJ", "BCJ2", "ARM", "ARMT", "ARM64", "RISCV", "PPC", "SPARC", "IA64", "Delta:4", "Swap2", "Swap4"):
    for method in ("LZMA", "BZip2", "Copy"):
        seven(f"filter-{coder.replace(':', '')}-{method}", ["words.txt", "-m0=LZMA"], ["eicar.com", f"-m0={coder}", f"-m1={method}"])
seven("locked", ["words.txt", "-m0=LZMA"], ["eicar.com", "-psecret-of-nobody"])
seven("locked-header", ["words.txt", "eicar.com", "-psecret-of-nobody", "-mhe=on"])
plain = seven("plain", ["words.txt", "eicar.com", "-m0=BZip2"])
if plain:
    variants("7z-plain", plain)
    for at in range(6, 32):
        put(f"7z-header-{at}", plain[:at] + bytes([plain[at] ^ 1]) + plain[at + 1:])
    put("7z-two", by(["7z", "a", "made.7z", "words.txt"]) + plain)
clean = by(["7z", "a", "made.7z", "words.txt"])
if clean:
    put("clean-7z", clean)
    put("clean-7z-bzip2", by(["7z", "a", "made.7z", "words.txt", "-m0=BZip2"]))


# tar
def header(name, content, kind=b"0", size=None, magic=b"ustar\x0000", link=b"", total=None, rest=b""):
    size = b"%011o\0" % len(content) if size is None else size
    block = struct.pack("100s8s8s8s12s12s8s1s100s8s", name, b"0000644\0", b"0000000\0", b"0000000\0", size, b"00000000000\0", b" " * 8, kind,
                        link, magic) + rest
    block = block.ljust(512, b"\0")
    total = sum(block) if total is None else total
    return block[:148] + b"%06o\0 " % total + block[156:]


def entry(name, content, *arguments, **more):
    return header(name, content, *arguments, **more) + content + bytes(-len(content) % 512)


def record(key, value):
    length = len(key) + len(value) + 3
    while len(str(length)) + len(key) + len(value) + 3 != length:
        length = len(str(length)) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


words, evil, end = entry(b"words.txt", WORDS), entry(b"eicar.com", PAYLOAD), bytes(1024)
variants("tar", words + evil + end)
variants("tar-first", evil + words + end)
put("clean-tar", words + end)
for kind in b"0 \0 1 2 3 4 5 6 7 A D g K L M N S V X x Z".split():
    put(f"tar-kind-{kind.hex()}", words + entry(b"eicar.com", PAYLOAD, kind) + words + end)
    put(f"tar-kind-{kind.hex()}-first", entry(b"eicar.com", PAYLOAD, kind) + words + end)
    put(f"tar-kind-{kind.hex()}-before", entry(b"a", PAYLOAD[:20], kind) + evil + end)
    put(f"tar-kind-{kind.hex()}-link", words + entry(b"eicar.com", PAYLOAD, kind, link=b"words.txt") + words + end)
for name, size in dict(zero=b"00000000000\0", few=b"00000000010\0", many=b"00000010000\0", huge=b"77777777777\0", base=b"\x80" + bytes(7) + struct.pack(">I", 68),
                       negative=b"\xff" * 12, blank=b" " * 12, spaces=b"        104\0", text=b"104 rest of", hexadecimal=b"0x44\0").items():
    put(f"tar-size-{name}", words + header(b"eicar.com", PAYLOAD, size=size) + PAYLOAD + bytes(444) + words + end)
    put(f"tar-size-before-{name}", header(b"a", b"", size=size) + evil + words + end)
    put(f"tar-size-folder-{name}", entry(b"folder/", b"", b"5", size=size) + evil + words + end)
for name, magic in dict(none=bytes(8), gnu=b"ustar  \0", odd=b"USTAR\x0000", star=b"ustar\x0099").items():
    put(f"tar-magic-{name}", entry(b"words.txt", WORDS, magic=magic) + entry(b"eicar.com", PAYLOAD, magic=magic) + end)
for name, between in dict(zeros=bytes(512), two=bytes(1024), many=bytes(10240), noise=noise(512), words=(WORDS * 3)[:1024],
                          odd=noise(100), sum=header(b"bad", b"", total=1)).items():
    put(f"tar-between-{name}", words + between + evil + end)
    put(f"tar-behind-end-{name}", words + end + between + evil + end)
    put(f"tar-start-{name}", between + evil + words + end)
put("tar-no-end", words + evil)
put("tar-cut", words + header(b"eicar.com", PAYLOAD) + PAYLOAD)
put("tar-sum-signed", words + entry(b"\xe9\xe9", PAYLOAD, total=sum(b - 256 if b > 127 else b for b in header(b"\xe9\xe9", PAYLOAD)[:148] + b" " * 8 + header(b"\xe9\xe9", PAYLOAD)[156:])) + end)
for name, keys in dict(size=record(b"size", b"68"), path=record(b"path", b"eicar.com"), bad=b"99999 path=x\n", none=b"", few=record(b"size", b"5"),
                       many=record(b"size", b"5000"), sparse=record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0") + record(b"GNU.sparse.realsize", b"68"),
                       older=record(b"GNU.sparse.size", b"68") + record(b"GNU.sparse.numblocks", b"1") + record(b"GNU.sparse.map", b"0,68")).items():
    content = b"1\n0\n68\n".ljust(512, b"\0") + PAYLOAD if name == "sparse" else PAYLOAD
    for kind in (b"x", b"g", b"X"):
        for size in (None, b"00000000000\0"):
            put(f"tar-pax-{name}-{kind.decode()}-{size is None:d}", words + entry(b"p", keys, kind) + header(b"eicar.com", content, size=size) + content + bytes(
                -len(content) % 512) + words + end)
long_name = b"d/" * 200 + b"eicar.com"
put("tar-long-name", words + entry(b"././@LongLink", long_name + b"\0", b"L", magic=b"ustar  \0") + entry(long_name[:100], PAYLOAD, magic=b"ustar  \0") + end)
sparse = struct.pack("12s12s12s12s", b"%011o\0" % 0, b"%011o\0" % 68, b"%011o\0" % 68, b"%011o\0" % 0) + bytes(49) + b"%011o\0" % 68
put("tar-sparse", words + entry(b"eicar.com", PAYLOAD, b"S", magic=b"ustar  \0", rest=bytes(121) + sparse) + end)
for options in (["--format=gnutar"], ["--format=pax"], ["--format=v7"], ["--format=ustar"]):
    content = by(["bsdtar", "-cf", "made", *options, "words.txt", "eicar.com"])
    if content:
        put(f"tar-by-{options[0][9:]}", content)
        put(f"tar-by-{options[0][9:]}-twice", by(["bsdtar", "-cf", "made", *options, "words.txt"]) + content)


# cpio
def newc(name, content, mark=b"070701", names=None, size=None, mode=0o100644, total=None):
    total = (sum(content) & 0xFFFFFFFF if mark == b"070702" else 0) if total is None else total
    fields = [1, mode, 0, 0, 1, 0, len(content) if size is None else size, 0, 0, 0, 0, len(name) + 1 if names is None else names, total]
    start = mark + b"".join(b"%08X" % field for field in fields) + name + b"\0"
    return start + bytes(-len(start) % 4) + content + bytes(-len(content) % 4)


def odc(name, content):
    return b"070707" + b"".join(b"%06o" % n for n in (1, 1, 0o100644, 0, 0, 1, 0)) + b"%011o%06o%011o" % (0, len(name) + 1, len(content)) + name + b"\0" + content


def binary(name, content, order="<"):
    start = struct.pack(order + "13H", 0o070707, 1, 1, 0o100644, 0, 0, 1, 0, 0, 0, len(name) + 1, len(content) >> 16, len(content) & 0xFFFF) + name + b"\0"
    return start + bytes(len(start) % 2) + content + bytes(len(content) % 2)


for name, make in dict(newc=newc, crc=lambda n, c: newc(n, c, b"070702"), odc=odc, binary=binary, swapped=lambda n, c: binary(n, c, ">")).items():
    trailer = make(b"TRAILER!!!", b"")
    variants(f"cpio-{name}", make(b"words.txt", WORDS) + make(b"eicar.com", PAYLOAD) + trailer)
    put(f"clean-cpio-{name}", make(b"words.txt", WORDS) + trailer)
    first = make(b"words.txt", WORDS) + trailer
    for gap in (0, 4, 512, 100):
        put(f"cpio-{name}-row-{gap}", first + bytes(gap) + make(b"eicar.com", PAYLOAD) + trailer)
        put(f"cpio-{name}-row-gz-{gap}", first + bytes(gap) + gzip.compress(make(b"eicar.com", PAYLOAD) + trailer))
        put(f"cpio-{name}-row-zero-{gap}", first + bytes(gap) + lzma.compress(make(b"eicar.com", PAYLOAD) + trailer, check=lzma.CHECK_CRC32))
    put(f"cpio-{name}-no-trailer", make(b"words.txt", WORDS) + make(b"eicar.com", PAYLOAD))
for changes in (dict(size=67), dict(size=0), dict(size=0xFFFFFFFF), dict(names=0), dict(names=5000), dict(mode=0o040755), dict(mode=0o120777), dict(mode=0o060644)):
    put(f"cpio-{changes}".replace("'", ""), newc(b"words.txt", WORDS) + newc(b"eicar.com", PAYLOAD, **changes) + newc(b"TRAILER!!!", b""))
    put(f"cpio-before-{changes}".replace("'", ""), newc(b"a", b"words", **changes) + newc(b"eicar.com", PAYLOAD) + newc(b"TRAILER!!!", b""))
