"""Zips whose readers do not agree: by fields of the local header, the directory and its end, prefixes, packings, and what is behind."""
import bz2, lzma, struct, sys, zlib
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *


class Member:
    """A member; `local` and `central` replace fields of its headers."""

    def __init__(self, name, content, method=8, packed=None, flags=0, local=None, central=None, extra=b"", tail=b"",
                 listed=True, present=True):
        self.name, self.method, self.flags, self.extra, self.tail = name, method, flags, extra, tail
        self.listed, self.present = listed, present
        packings = {0: bytes, 8: deflate, 12: bz2.compress, 14: zip_lzma, 93: zstd, 95: lzma.compress}
        self.packed = packings.get(method, bytes)(content) if packed is None else packed
        common = dict(version=20, flags=flags, method=method, crc=zlib.crc32(content), csize=len(self.packed), usize=len(content))
        self.local, self.central = {**common, **(local or {})}, {**common, **(central or {})}

    def local_header(self):
        f = self.local
        name = f.get("name", self.name)
        return struct.pack("<4sHHHHHIIIHH", f.get("mark", b"PK\3\4"), f["version"], f["flags"], f["method"], 0, 33, f["crc"],
                           f["csize"], f["usize"], f.get("nlen", len(name)), f.get("xlen", len(self.extra))) + name + self.extra

    def entry(self, offset):
        f = self.central
        name, extra, note = f.get("name", self.name), f.get("extra", b""), f.get("note", b"")
        return struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", f.get("made", 20), f["version"], f["flags"], f["method"], 0, 33,
                           f["crc"], f["csize"], f["usize"], len(name), len(extra), len(note), f.get("disk", 0), 0, f.get("attributes", 0),
                           f.get("offset", offset)) + name + extra + note


def zip_lzma(content):
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 6}]
    packed = lzma.compress(content, format=lzma.FORMAT_ALONE, filters=filters)
    return b"\x09\x14\5\0" + packed[:5] + packed[13:]


def zstd(content):
    return run("zstd", "-q", "-c", content=content) or b""


def archive(members, prefix=b"", relative=False, between=b"", comment=b"", end=None):
    out, directory, count = bytearray(prefix), b"", 0
    base = len(prefix) if relative else 0
    for member in members:
        offset = len(out) - base
        if member.present:
            out += member.local_header() + member.packed + member.tail
        if member.listed:
            directory, count = directory + member.entry(offset), count + 1
    out += between
    f = dict(disk=0, start=0, here=count, all=count, size=len(directory), offset=len(out) - base, clen=len(comment)) | (end or {})
    return bytes(out) + directory + struct.pack("<4sHHHHIIH", b"PK\5\6", f["disk"], f["start"], f["here"], f["all"], f["size"],
                                                f["offset"], f["clen"]) + comment


words = lambda **more: Member(b"words.txt", WORDS, **more)
evil = lambda **more: Member(b"eicar.com", PAYLOAD, **more)
decoy = lambda **more: Member(b"decoy.txt", b"A" * len(PAYLOAD), **more)

PREFIXES = {"byte": b"x", "mz": b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + bytes(400), "elf": b"\x7fELF\2\1\1" + bytes(200),
            "zeros": bytes(512), "sh": b"#!/bin/sh\nexit 0\n", "gif": b"GIF89a\1\0\1\0\0\0\0;", "jpeg": b"\xff\xd8\xff\xe0" + bytes(60) + b"\xff\xd9",
            "pdf": b"%PDF-1.4\n%%EOF\n", "html": b"<html><body>words</body></html>\n", "bom": b"\xef\xbb\xbf", "pk00": b"PK00",
            "spanned": b"PK\7\x08", "png": b"\x89PNG\r\n\x1a\n" + bytes(40), "rar-mark": b"Rar!\x1a\7\0", "7z-mark": b"7z\xbc\xaf\x27\x1c\0\4" + bytes(30),
            "rtf": b"{\\rtf1 words}", "mail": b"From: a@b\nTo: c@d\nSubject: x\n\nwords\n", "id3": b"ID3\3\0\0\0\0\0\0", "ogg": b"OggS" + bytes(40),
            "sqlite": b"SQLite format 3\0" + bytes(100), "empty-zip": b"PK\5\6" + bytes(18), "local-marks": b"PK\3\4" * 50,
            "many-marks": b"PK\3\4" * 11000, "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "riff": b"RIFF\x20\0\0\0WAVEfmt " + bytes(40),
            "tar-like": b"name" + bytes(253) + b"ustar\x0000" + bytes(247), "xml": b"<?xml version='1.0'?><a/>", "bzip2-mark": b"BZh9", "gzip-mark": b"\x1f\x8b\x08"}
METHODS = (0, 8, 12, 14, 93, 95)
for name, prefix in PREFIXES.items():
    for method in (8, 14, 93):
        for relative in (False, True) if len(prefix) < 100 else (False,):
            put(f"zip-behind-{name}-{method}-{relative:d}", archive([words(), evil(method=method)], prefix, relative))
for method in METHODS:
    put(f"zip-method-{method}", archive([words(), evil(method=method)]))
    put(f"zip-descriptor-{method}", archive([evil(method=method, flags=8, local=dict(crc=0, csize=0, usize=0), tail=b"PK\7\x08" + struct.pack(
        "<III", zlib.crc32(PAYLOAD), len(evil(method=method).packed), len(PAYLOAD))), words()]))

# Every field that either header may state otherwise than the other.
FIELDS = dict(method=(0, 1, 8, 12, 14, 99, 200, 65535), flags=(1, 8, 9, 0x20, 0x40, 0x800, 0x2000, 0x2041), crc=(0, 1, 0xFFFFFFFF),
              csize=(0, 1, 10, 67, 69, 1000, 0x7FFFFFFF, 0xFFFFFFFF), usize=(0, 1, 5, 67, 69, 1000, 0x7FFFFFFF, 0xFFFFFFFF), version=(0, 45, 99, 255),
              name=(b"", b"a", b"eicar.com/", b"x" * 3000, b"../eicar", b"\0"), nlen=(0, 1, 5000), xlen=(1, 40, 60000), mark=(b"PK\3\5", b"\0\0\0\0", b"PK\1\2"),
              disk=(1, 7, 0xFFFF), offset=(0, 1, 0xFFFFFFFF), made=(0x0314,))
for field, values in FIELDS.items():
    for value in values:
        shown = value if isinstance(value, int) else value[:10].hex() + str(len(value))
        for method in (0, 8):
            for where in ("local", "central"):
                change = {where: {field: value}, "method": method}
                put(f"zip-{where}-{field}-{shown}-{method}-last", archive([words(), evil(**change)]))
                put(f"zip-{where}-{field}-{shown}-{method}-decoy", archive([decoy(), evil(**change), words()]))
                put(f"zip-{where}-{field}-{shown}-{method}-behind", archive([evil(**change), words()], b"prefix"))
            put(f"zip-both-{field}-{shown}-{method}", archive([words(), evil(local={field: value}, central={field: value}, method=method)]))

# The end record.
for field, values in dict(disk=(1, 0xFFFF), start=(1, 0xFFFF), here=(0, 1, 3, 0xFFFF), all=(0, 1, 3, 0xFFFF), size=(0, 1, 50, 60, 0xFFFFFFFF),
                          offset=(0, 1, 0xFFFFFFFF), clen=(1, 22, 65535)).items():
    for value in values:
        put(f"zip-end-{field}-{value}", archive([words(), evil()], end={field: value}))
        put(f"zip-end-{field}-{value}-behind", archive([words(), evil()], b"MZ" + bytes(30), end={field: value}))
        put(f"zip-end-{field}-{value}-counts", archive([words(), evil(method=14)], end={field: value, "here": 1, "all": 1}))
for method in (8, 14):
    inner = archive([evil(method=method)])
    put(f"zip-in-comment-{method}", archive([words()], comment=inner))
    put(f"zip-comment-{method}", archive([words(), evil(method=method)], comment=b"a comment"))
    put(f"zip-comment-end-{method}", archive([words(), evil(method=method)], comment=archive([words()])[-22:]))
    put(f"zip-ends-{method}", archive([evil(method=method)]) + archive([words()])[-22:] * 20)
    put(f"zip-empty-ends-{method}", archive([evil(method=method)]) + (b"PK\5\6" + bytes(18)) * 20)
    for tail in (b"\0", b"\n", bytes(700), noise(700), bytes(66000), noise(66000), bytes(17000), b"A" * 65557):
        put(f"zip-tail-{method}-{len(tail)}-{tail[0]}", archive([words(), evil(method=method)]) + tail)
    put(f"zip-two-{method}", archive([evil(method=method)]) + archive([words()]))
    put(f"zip-two-other-{method}", archive([words()]) + archive([evil(method=method)]))
    put(f"zip-two-absolute-{method}", (lambda first: first + archive([evil(method=method)], first)[len(first):])(archive([words()])))
    put(f"zip-two-decoys-{method}", archive([decoy()]) + archive([evil(method=method)]) + archive([words()]))
    for where, members in dict(first=[evil(method=method, listed=False), words()], last=[words(), evil(method=method, listed=False)],
                               middle=[words(), evil(method=method, listed=False), decoy()], only=[evil(method=method, listed=False)]).items():
        put(f"zip-unlisted-{where}-{method}", archive(members))
        put(f"zip-unlisted-{where}-{method}-junk", archive(members, between=noise(100)))
    put(f"zip-no-end-{method}", archive([words(), evil(method=method)])[:-22])
    put(f"zip-no-directory-{method}", evil(method=method).local_header() + evil(method=method).packed + bytes(50))
    put(f"zip-second-no-directory-{method}", words().local_header() + words().packed + evil(method=method).local_header() + evil(method=method).packed)
    put(f"zip-duplicate-{method}", archive([Member(b"a", WORDS), Member(b"a", PAYLOAD, method)]))
    put(f"zip-duplicate-first-{method}", archive([Member(b"a", PAYLOAD, method), Member(b"a", WORDS)]))
    put(f"zip-folder-{method}", archive([words(), Member(b"folder/", PAYLOAD, method)]))
    put(f"zip-size-of-64-{method}", archive([words(), evil(method=method, local=dict(csize=0xFFFFFFFF, usize=0xFFFFFFFF), central=dict(
        csize=0xFFFFFFFF, usize=0xFFFFFFFF, extra=struct.pack("<HHQQ", 1, 16, len(PAYLOAD), len(evil(method=method).packed))),
        extra=struct.pack("<HHQQ", 1, 16, len(PAYLOAD), len(evil(method=method).packed)))]))
    put(f"zip-64-ignored-{method}", archive([words(), evil(method=method, central=dict(extra=struct.pack("<HHQQQ", 1, 24, 3, 3, 3)))]))
    member = evil(method=method)
    shifted = archive([words(), Member(b"b", PAYLOAD, method, central=dict(offset=0)), evil(method=method, listed=False)])
    put(f"zip-overlap-{method}", shifted)
    inside = Member(b"carrier", member.local_header() + member.packed, 0)
    put(f"zip-in-member-{method}", archive([inside, evil(method=method, present=False, central=dict(offset=30 + len(b"carrier")))]))
    put(f"zip-gap-{method}", archive([words(tail=noise(300)), evil(method=method), words()]))
    put(f"zip-extra-{method}", archive([words(extra=struct.pack("<HH", 0x6375, len(member.local_header() + member.packed)) + member.local_header() + member.packed)]))
    put(f"zip-note-{method}", archive([words(central=dict(note=member.local_header() + member.packed))]))
    put(f"zip-tail-in-member-{method}", archive([Member(b"a", WORDS, packed=deflate(WORDS) + member.local_header() + member.packed)]))
    put(f"zip-hidden-directory-{method}", (lambda z: z + archive([evil(method=method)], z, end={}))(archive([words()])))


def zip64(members, count=None):
    """A zip whose end is a zip64 record, all of the old one's fields being full."""
    plain = archive(members)
    directory, end = plain.index(b"PK\1\2"), len(plain) - 22
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count or len(members), count or len(members), end - directory, directory)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    return plain[:end] + record + locator + struct.pack("<4sHHHHIIH", b"PK\5\6", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


for method in (0, 8, 14):
    put(f"zip-64-end-{method}", zip64([words(), evil(method=method)]))
    put(f"zip-64-end-few-{method}", zip64([words(), evil(method=method)], 1))
    put(f"zip-64-end-behind-{method}", b"x" + zip64([words(), evil(method=method)]))
for name, options in dict(deflate64=["-mm=Deflate64"], ppmd=["-mm=PPMd"], bzip2=["-mm=BZip2"], lzma=["-mm=LZMA"], xz=["-mm=xz"],
                          aes=["-psecret", "-mem=AES256"], zipcrypto=["-psecret"]).items():
    import tempfile
    with tempfile.TemporaryDirectory() as place:
        open(place + "/eicar.com", "wb").write(PAYLOAD)
        open(place + "/words.txt", "wb").write(WORDS)
        if run("7z", "a", "-tzip", "made.zip", "words.txt", "eicar.com", *options, directory=place) is not None:
            content = open(place + "/made.zip", "rb").read()
            put(f"zip-7z-{name}", content)
            for prefix in ("byte", "mz", "gif", "sh", "html"):
                put(f"zip-7z-{name}-behind-{prefix}", PREFIXES[prefix] + content)

put("clean-zip", archive([words()]))
put("clean-zip-comment", archive([words()], comment=b"a comment"))
put("clean-zip-descriptor", archive([words(flags=8, local=dict(crc=0, csize=0, usize=0), tail=b"PK\7\x08" + struct.pack(
    "<III", zlib.crc32(WORDS), len(deflate(WORDS)), len(WORDS)))]))
put("clean-zip-64", zip64([words(), decoy()]))
put("clean-zip-behind-stub", archive([words()], PREFIXES["sh"]))
put("clean-zip-lzma", archive([words(method=14)]))
# Modes by which some readers take a member for no file.
for method in (0, 8, 14, 93, 95):
    for mode in (0o120777, 0o060644, 0o010644, 0o040755):
        for name, prefix in dict(alone=b"", prefixed=b"words\n").items():
            put(f"mode-{mode:o}-{method}-{name}", archive([words(), evil(method=method, central=dict(made=0x314, attributes=mode << 16))], prefix))
# What is stored, with a packed size that is not its size: `busybox` takes the latter.
for size in (0, 1, 10, 67):
    put(f"malware-stored-of-{size}", archive([words(), evil(method=0, local=dict(csize=size), central=dict(csize=size))]))
    put(f"malware-stored-of-{size}-first", archive([evil(method=0, local=dict(csize=size), central=dict(csize=size)), words()]))
