"""Packages, cabinets, images and archives of older programs: ar, deb, rpm, cab, ISO 9660, xar, LHA, ARJ, RAR, WIM, squashfs."""
import bz2, gzip, io, lzma, os, struct, sys, tarfile, tempfile, zlib
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *

PREFIXES = dict(byte=b"x", mz=b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + bytes(400), sh=b"#!/bin/sh\nexit\n", gif=b"GIF89a\1\0\1\0\0\0\0;", words=WORDS)
TAILS = dict(byte=b"x", zeros=bytes(1024), words=WORDS, noise=noise(700))


def variants(name, content):
    if content is None:
        return
    put(name, content)
    for prefix, before in PREFIXES.items():
        put(f"{name}-behind-{prefix}", before + content)
    for tail, after in TAILS.items():
        put(f"{name}-before-{tail}", content + after)


def by(*command, files=None):
    """What a program leaves as the file `made`, or prints, of the words and the payload."""
    with tempfile.TemporaryDirectory() as place:
        for name, content in (files or {"words.txt": WORDS, "eicar.com": PAYLOAD}).items():
            os.makedirs(os.path.dirname(f"{place}/{name}"), exist_ok=True)
            open(f"{place}/{name}", "wb").write(content)
        printed = run(*command, directory=place)
        made = next((f"{place}/{name}" for name in ("made", "made.arj") if os.path.exists(f"{place}/{name}")), None)
        return open(made, "rb").read() if made and printed is not None else printed


# ar and deb
def member(name, content, size=None, end=b"`\n"):
    size = len(content) if size is None else size
    return b"%-16s%-12d%-6d%-6d%-8s%-10d" % (name, 0, 0, 0, b"100644", size) + end + content + b"\n" * (len(content) % 2)


def tar(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


AR = b"!<arch>\n"
TAR = tar(("./words.txt", WORDS), ("./eicar.com", PAYLOAD))
variants("ar", AR + member(b"words.txt/", WORDS) + member(b"eicar.com/", PAYLOAD))
put("clean-ar", AR + member(b"words.txt/", WORDS))
put("ar-bsd", AR + member(b"#1/9", b"eicar.com" + PAYLOAD))
put("ar-long-names", AR + member(b"//", b"a-rather-long-name.com/\n") + member(b"/0", PAYLOAD))
put("ar-index", AR + member(b"/", PAYLOAD) + member(b"words.txt/", WORDS))
put("ar-symbols", AR + member(b"__.SYMDEF", PAYLOAD))
put("ar-names", AR + member(b"//", PAYLOAD))
for size in (0, 5, 67, 69, 1000, 9999999999):
    put(f"ar-size-{size}", AR + member(b"a/", WORDS, size) + member(b"eicar.com/", PAYLOAD))
    put(f"ar-own-size-{size}", AR + member(b"words.txt/", WORDS) + member(b"eicar.com/", PAYLOAD, size))
put("ar-end-mark", AR + member(b"words.txt/", WORDS, end=b"xx") + member(b"eicar.com/", PAYLOAD))
put("ar-odd", AR + member(b"words.txt/", WORDS + b"x")[:-1] + member(b"eicar.com/", PAYLOAD))
packings = dict(gz=gzip.compress, xz=lzma.compress, bz2=bz2.compress, lzma=lambda c: lzma.compress(c, format=lzma.FORMAT_ALONE),
                zst=lambda c: run("zstd", "-q", "-c", content=c), none=bytes)
for name, pack in packings.items():
    suffix = "" if name == "none" else "." + name
    data, control = pack(TAR), gzip.compress(tar(("./control", b"Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n")))
    if data:
        deb = AR + member(b"debian-binary", b"2.0\n") + member(b"control.tar.gz", control)
        variants(f"deb-{name}", deb + member(b"data.tar" + suffix.encode(), data))
        put(f"deb-{name}-second", deb + member(b"data.tar" + suffix.encode(), pack(tar(("./words.txt", WORDS)))) + member(b"data.tar.gz", gzip.compress(TAR)))


# rpm
def newc(name, content):
    fields = [1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    start = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
    return start + bytes(-len(start) % 4) + content + bytes(-len(content) % 4)


def rpm_header(entries):
    store, index = b"", b""
    for tag, text in entries:
        index += struct.pack(">IIII", tag, 6, len(store), 1)
        store += text + b"\0"
    return b"\x8e\xad\xe8\1\0\0\0\0" + struct.pack(">II", len(entries), len(store)) + index + store


CPIO = newc(b"./words.txt", WORDS) + newc(b"./eicar.com", PAYLOAD) + newc(b"TRAILER!!!", b"")
for name, pack in packings.items():
    payload = pack(CPIO)
    if payload:
        lead = b"\xed\xab\xee\xdb\3\0" + struct.pack(">HH", 0, 1) + b"a-1-1".ljust(66, b"\0") + struct.pack(">HH", 1, 5) + bytes(16)
        signature = rpm_header([(1000, b"x")])
        signature += bytes(-len(signature) % 8)
        rpm = lead + signature + rpm_header([(1000, b"a"), (1124, b"cpio"), (1125, name.encode())]) + payload
        variants(f"rpm-{name}", rpm)
        put(f"rpm-{name}-no-lead-mark", b"\0" + rpm[1:])
        put(f"rpm-{name}-row", rpm + pack(CPIO))


# cab
def cabinet(folders, reserve=b"", size=None, flags=0, checks=True, files=None):
    """Folders are pairs of a method and files; MSZIP is method 1."""
    names, blocks = b"", []
    for number, (method, members) in enumerate(folders):
        content, at = b"".join(c for _, c in members), 0
        for name, c in members:
            names += struct.pack("<IIHHHH", len(c), at, number, 0, 0, 0x20) + name + b"\0"
            at += len(c)
        packed = b"CK" + deflate(content) if method == 1 else content
        blocks.append((method, struct.pack("<IHH", 0, len(packed), len(content)) + packed))
    start = 36 + (4 + len(reserve) if reserve else 0)
    first_file = start + 8 * len(folders)
    offset, table = first_file + len(names), b""
    for method, block in blocks:
        table += struct.pack("<IHH", offset, 1, method)
        offset += len(block)
    count = sum(len(m) for _, m in folders) if files is None else files
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, offset if size is None else size, 0, first_file, 0, 3, 1, len(folders), count, flags | (4 if reserve else 0), 7, 0)
    return head + (struct.pack("<HBB", len(reserve), 0, 0) + reserve if reserve else b"") + table + names + b"".join(block for _, block in blocks)


W, E = (b"words.txt", WORDS), (b"eicar.com", PAYLOAD)
for method in (0, 1):
    variants(f"cab-{method}", cabinet([(method, [W, E])]))
    put(f"clean-cab-{method}", cabinet([(method, [W])]))
    # `cabextract` passes over what other readers ask for.
    for at in (4, 12, 20, 24):
        odd = bytearray(cabinet([(method, [W, E])]))
        odd[at] ^= 0x41
        put(f"cab-{method}-odd-{at}", bytes(odd))
        put(f"cab-{method}-odd-{at}-behind", noise(500) + bytes(odd))
    put(f"cab-{method}-folders", cabinet([(1, [W]), (method, [E])]))
    put(f"cab-{method}-folder-of-quantum", cabinet([(0x0472, [W]), (method, [E])]))
    put(f"cab-{method}-reserve", cabinet([(method, [W, E])], reserve=b"r" * 20))
    put(f"cab-{method}-reserve-cab", cabinet([(method, [W])], reserve=cabinet([(method, [E])])))
    for size in (0, 36, 100, 10000, 0xFFFFFFFF):
        put(f"cab-{method}-size-{size}", cabinet([(method, [W, E])], size=size))
        put(f"cab-{method}-size-{size}-behind", b"MZ" + bytes(60) + cabinet([(method, [W, E])], size=size))
    for files in (0, 1, 3, 65535):
        put(f"cab-{method}-files-{files}", cabinet([(method, [W, E])], files=files))
    for flags in (1, 2, 8, 0x80):
        put(f"cab-{method}-flags-{flags}", cabinet([(method, [W, E])], flags=flags))
    put(f"cab-{method}-two", cabinet([(method, [W])]) + cabinet([(method, [E])]))

# ISO 9660
for name, options in dict(plain=["-iso-level", "3"], joliet=["-J"], rock=["-R"], both=["-J", "-R"], hidden=["-J", "-R", "-hide", "eicar.com"],
                          hidden_joliet=["-J", "-R", "-hide-joliet", "eicar.com"], udf=["-udf", "-J"], udf_only=["-udf", "-hide", "eicar.com", "-J", "-hide-joliet", "eicar.com"],
                          hfs=["-hfs"], deep=["-D", "-R"]).items():
    with tempfile.TemporaryDirectory() as place:
        os.mkdir(place + "/d")
        for file, content in (("words.txt", WORDS), ("eicar.com", PAYLOAD)):
            open(f"{place}/d/{file}", "wb").write(content)
        if run("genisoimage", "-quiet", "-o", "made", *options, "d", directory=place) is not None:
            image = open(place + "/made", "rb").read()
            put(f"iso-{name}", image)
            put(f"iso-{name}-behind-zeros", bytes(2048) + image)
            put(f"iso-{name}-behind-mz", b"MZ" + image[2:])
            put(f"iso-{name}-tail", image + gzip.compress(PAYLOAD * 2))
            put(f"iso-{name}-start", gzip.compress(PAYLOAD).ljust(1024, b"\0") + image[1024:])
for options in ("", "rockridge=useful,zisofs=direct", "!joliet", "!rockridge"):
    image = by("bsdtar", "-cf", "made", "--format=iso9660", *(["--options=" + options] if options else []), "words.txt", "eicar.com",
               files={"words.txt": WORDS * 200, "eicar.com": PAYLOAD})
    if image:
        put(f"iso-bsdtar-{options}", image)

# xar
for packing in ("none", "gzip", "bzip2", "xz", "lzma"):
    variants(f"xar-{packing}", by("bsdtar", "-cf", "made", "--format=xar", f"--options=xar:compression={packing}", "words.txt", "eicar.com"))
    content = by("bsdtar", "-cf", "made", "--format=xar", f"--options=xar:compression={packing}", "words.txt")
    if content:
        put(f"clean-xar-{packing}", content)


# LHA
def crc16(content):
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def lha(name, content, level=1, method=b"-lh0-", bad_sum=False):
    fixed = method + struct.pack("<III", len(content), len(content), 0)
    if level < 2:
        body = fixed + b"\x20" + bytes([level, len(name)]) + name + struct.pack("<H", crc16(content)) + (b"U\0\0" if level else b"")
        return bytes([len(body), (sum(body) + bad_sum) & 0xFF]) + body + content
    if level == 2:
        extra = struct.pack("<H", len(name) + 3) + b"\1" + name + struct.pack("<H", 0)
        body = fixed + b"\x20\2" + struct.pack("<H", crc16(content)) + b"U" + extra
        return struct.pack("<H", len(body) + 2) + body + content
    extra = struct.pack("<I", len(name) + 5) + b"\1" + name + struct.pack("<I", 0)
    body = fixed + b"\x20\3" + struct.pack("<H", crc16(content)) + b"U" + struct.pack("<I", len(extra) + 28) + extra
    return struct.pack("<H", 4) + body + content


for level in range(4):
    variants(f"lha-{level}", lha(b"words.txt", WORDS, level) + lha(b"eicar.com", PAYLOAD, level) + b"\0")
    put(f"clean-lha-{level}", lha(b"words.txt", WORDS, level) + b"\0")
    put(f"lha-{level}-no-end", lha(b"words.txt", WORDS, level) + lha(b"eicar.com", PAYLOAD, level))
    put(f"lha-{level}-behind-end", lha(b"words.txt", WORDS, level) + b"\0" + lha(b"eicar.com", PAYLOAD, level) + b"\0")
    put(f"lha-{level}-sum", lha(b"words.txt", WORDS, level, bad_sum=True) + lha(b"eicar.com", PAYLOAD, level) + b"\0")
    for method in (b"-lz4-", b"-lh9-", b"-pm0-", b"-lhd-", b"-lhx-"):
        put(f"lha-{level}-{method.decode()}", lha(b"words.txt", WORDS, level) + lha(b"eicar.com", PAYLOAD, level, method) + b"\0")
        put(f"lha-{level}-before-{method.decode()}", lha(b"w", WORDS, level, method) + lha(b"eicar.com", PAYLOAD, level) + b"\0")

# ARJ, WIM, squashfs
for name, options in dict(packed=["-m1"], stored=["-m0"], fastest=["-m4"], locked=["-gsecret"]).items():
    variants(f"arj-{name}", by("arj", "a", "-y", *options, "made.arj", "words.txt", "eicar.com"))
for packing in ("none", "XPRESS", "LZX", "LZMS"):
    with tempfile.TemporaryDirectory() as place:
        os.mkdir(place + "/d")
        open(place + "/d/eicar.com", "wb").write(PAYLOAD)
        open(place + "/d/words.txt", "wb").write(WORDS * 10)
        for solid in ([], ["--solid"]):
            if run("wimlib-imagex", "capture", "d", f"made{len(solid)}", "--no-acls", f"--compress={packing}", *solid, directory=place) is not None:
                put(f"wim-{packing}-{len(solid)}", open(f"{place}/made{len(solid)}", "rb").read())
for packing in ("gzip", "xz", "lzo", "lz4", "zstd"):
    with tempfile.TemporaryDirectory() as place:
        os.mkdir(place + "/d")
        open(place + "/d/eicar.com", "wb").write(PAYLOAD)
        if run("mksquashfs", "d", "made", "-quiet", "-no-progress", "-comp", packing, directory=place) is not None:
            put(f"squashfs-{packing}", open(place + "/made", "rb").read())


# RAR, stored
def rar4(*members, main=b""):
    def block(kind, flags, body, rest=b""):
        header = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(header) & 0xFFFF) + header + rest
    out = b"Rar!\x1a\7\0" + block(0x73, 0, bytes(6))
    for name, content in members:
        out += block(0x74, 0x8000, struct.pack("<IIBIIBBHI", len(content), len(content), 3, zlib.crc32(content), 0, 20, 0x30, len(name), 0x81A4) + name, content)
    return out + block(0x7B, 0x4000, b"")


def number(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def rar5(*members, method=0):
    def block(body, rest=b""):
        sized = number(len(body)) + body
        return struct.pack("<I", zlib.crc32(sized)) + sized + rest
    out = b"Rar!\x1a\7\1\0" + block(number(1) + number(0) + number(0))
    for name, content in members:
        out += block(number(2) + number(2) + number(len(content)) + number(4) + number(len(content)) + number(0o100644) + struct.pack("<I", zlib.crc32(content)) + number(
            method << 7) + number(1) + number(len(name)) + name, content)
    return out + block(number(5) + number(0) + number(0))


for name, make in dict(rar4=rar4, rar5=rar5).items():
    variants(name, make(W, E))
    put(f"{name}-two", make(W) + make(E))
    put(f"{name}-cut", make(W, E)[:-10])
    put(f"{name}-damaged", (lambda c: c[:30] + b"\xff" + c[31:])(make(W, E)))
    put(f"clean-{name}", make(W))
