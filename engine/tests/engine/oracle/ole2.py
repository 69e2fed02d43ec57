"""Compound files (OLE 2): content in streams, and headers, sector chains and directories that readers take differently."""
import struct, sys
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *

LONG = WORDS * 8 + MARKER + WORDS
FREE, END, FAT, DIFAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFC


def entry(name, kind, left=FREE, right=FREE, child=FREE, start=END, size=0, color=1):
    name = name.encode("utf-16-le") + b"\0\0"
    return name.ljust(64, b"\0") + struct.pack("<HBBIII16sIQQIQ", len(name), kind, color, left, right, child, bytes(16), 0, 0, 0, start, size)


def chain(fat, sectors, count):
    """Takes sectors that follow one another; returns the first."""
    first = len(fat)
    if count == 0:
        return END
    fat += [first + n + 1 for n in range(count - 1)] + [END]
    return first


def compound(streams, shift=9, cutoff=4096, order=0xFFFE, minor=0x3E, major=None, mini_shift=6, linked=True, storage=False, reverse=False, header=b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", size_high=0, kind=2, lie=None, gap=0, difat=False, clsid=bytes(16)):
    """A file with these streams: pairs of a name and content."""
    sector, major = 1 << shift, (4 if shift == 12 else 3) if major is None else major
    fat, data = [FREE] * gap, [bytes(sector)] * gap

    def put_chain(content):
        pieces = [content[at:at + sector].ljust(sector, b"\0") for at in range(0, len(content), sector)]
        first = chain(fat, data, len(pieces))
        data.extend(pieces)
        return first

    mini, minifat, places = b"", [], []
    for name, content in streams:
        size = len(content) if lie is None else lie
        if len(content) < cutoff:
            count = -(-len(content) // 64)
            first = chain(minifat, None, count)
            mini += content.ljust(count * 64, b"\0")
        else:
            first = put_chain(content)
        places.append((name, first, size | size_high << 32))
    mini_start = put_chain(mini) if mini else END
    minifat_content = b"".join(struct.pack("<I", n) for n in minifat)
    minifat_start = put_chain(minifat_content.ljust(-(-len(minifat_content) // sector) * sector, b"\xff")) if minifat else END
    base = 2 if storage else 1
    entries = []
    for number, (name, first, size) in enumerate(places):
        right = base + number + 1 if number + 1 < len(places) else FREE
        entries.append(entry(name, kind, right=right, start=first, size=size))
    child = 1 if linked else FREE
    head = [entry("Root Entry", 5, child=child, start=mini_start, size=len(mini))]
    if storage:
        head.append(entry("ObjectPool", 1, child=2))
    directory = b"".join(head + entries)
    if reverse:
        directory += entry("words", 2) * 3
    per = sector // 128
    while len(directory) // 128 % per:
        directory += bytes(64) + struct.pack("<HBBIII", 0, 0, 0, FREE, FREE, FREE) + bytes(128 - 80)
    directory_start = put_chain(directory)
    count = 1
    while (len(fat) + count + (1 if difat else 0)) * 4 > count * sector:
        count += 1
    fat_places = list(range(len(fat), len(fat) + count))
    fat += [FAT] * count
    if difat:
        fat.append(DIFAT)
    table = b"".join(struct.pack("<I", n) for n in fat).ljust(count * sector, b"\xff")
    listed = fat_places if not difat else []
    out = header + clsid + struct.pack("<HHHHH6xIIIIIIIII", minor, major, order, shift, mini_shift, 0 if major == 3 else 1, count, directory_start, 0, cutoff, minifat_start, 1 if minifat else 0, len(fat) - 1 if difat else END, 1 if difat else 0)
    out += b"".join(struct.pack("<I", n) for n in listed).ljust(436, b"\xff")
    out = out.ljust(sector, b"\0") + b"".join(data) + table
    if difat:
        out += b"".join(struct.pack("<I", n) for n in fat_places).ljust(sector - 4, b"\xff") + struct.pack("<I", END)
    return out


for payload, content in dict(eicar=PAYLOAD, long=LONG).items():
    base = [("words", WORDS), ("payload", content)]
    for name, options in dict(
        plain={}, sectors4k=dict(shift=12), v4small=dict(major=4), storage=dict(storage=True), big_cutoff=dict(cutoff=8192), small_cutoff=dict(cutoff=16), no_cutoff=dict(cutoff=0), order=dict(order=0xFEFF), order0=dict(order=0),
        minor=dict(minor=0x21), major5=dict(major=5), beta=dict(header=b"\x0e\x11\xfc\x0d\xd0\xcf\x11\x0e"), size_high=dict(size_high=0xDEAD), gap=dict(gap=3), difat=dict(difat=True), clsid=dict(clsid=b"x" * 16), more=dict(reverse=True),
        unlinked=dict(linked=False), kind_lock=dict(kind=3), kind_property=dict(kind=4), lie_long=dict(lie=100000), lie_short=dict(lie=len(content)), lie_zero=dict(lie=0), mini7=dict(mini_shift=7),
    ).items():
        put(f"{payload}-{name}", compound(base, **options))
    for stream in ("WordDocument", "Workbook", "Book", "PowerPoint Document", "\x01Ole10Native", "\x01CompObj", "\x05SummaryInformation", "Package", "CONTENTS", "__substg1.0_37010102", "VBA", "dir", "_VBA_PROJECT", "PROJECT", "EncryptionInfo", "x" * 31, "\u4840\u3f3f", "Macros", "FileHeader", "BodyText", "1Table", "Data", "Pictures"):
        put(f"{payload}-named-{stream.encode('unicode_escape').decode().replace('/', '_')}", compound([("words", WORDS), (stream, content)]))
    for count in (1, 3, 10, 100, 1000):
        put(f"{payload}-many-{count}", compound([(f"words{n}", WORDS) for n in range(count)] + [("payload", content)]))
        put(f"{payload}-first-of-{count}", compound([("payload", content)] + [(f"words{n}", WORDS) for n in range(count)]))
    plain = compound(base)
    put(f"{payload}-behind", b"just words" + plain)
    put(f"{payload}-cut", plain[:-512])
    put(f"{payload}-after", plain + noise(3000))
    put(f"{payload}-large", compound([("words", noise(200000)), ("payload", content + noise(9000))]) if payload == "long" else compound([("words", noise(200000)), ("payload", content)]))
    package = b"\2\0a.txt\0C:\\a.txt\0" + struct.pack("<HHI", 0, 3, 4) + b"a.t\0" + struct.pack("<I", len(content)) + content
    native = struct.pack("<I", len(package)) + package
    put(f"malware-{payload}-native", compound([("\x01Ole10Native", native)]))
    put(f"malware-{payload}-native-storage", compound([("words", WORDS), ("\x01Ole10Native", native)], storage=True))
    put(f"malware-{payload}-native-odd-name", compound([("\x01oLE10nATIVE", native)]))
    put(f"malware-{payload}-native-lie", compound([("\x01Ole10Native", struct.pack("<I", 20) + package)]))
    for name, data, kind in (("package", package, b"Package\0"), ("compound", plain, b"Word.8\0\0"), ("native", compound([("\x01Ole10Native", native)]), b"Package\0"), ("class", package, b"words\0\0\0")):
        digits = (struct.pack("<III", 0x501, 2, 8) + kind + struct.pack("<III", 0, 0, len(data)) + data).hex()
        for between, text in dict(plain=digits, upper=digits.upper(), lines="\r\n".join(digits[at:at + 64] for at in range(0, len(digits), 64)), pairs=" ".join(digits[at:at + 2] for at in range(0, len(digits), 2)), halves=" ".join(digits),
                                  groups="{}".join(digits[at:at + 8] for at in range(0, len(digits), 8)), words="\\par ".join(digits[at:at + 8] for at in range(0, len(digits), 8)), ignored="{\\*\\x9 }".join(digits[at:at + 10] for at in range(0, len(digits), 10))).items():
            put(f"malware-{payload}-rtf-{name}-{between}", b"{\\rtf1{\\object\\objemb{\\*\\objdata " + text.encode() + b"}}}")
        put(f"malware-{payload}-rtf-{name}-short-header", b"{\\rt{\\object\\objemb{\\*\\objdata " + digits.encode() + b"}}}")
        put(f"malware-{payload}-rtf-{name}-no-end", b"{\\rtf1{\\object\\objemb{\\*\\objdata " + digits.encode())
        put(f"malware-{payload}-rtf-{name}-no-star", b"{\\rtf1{\\object\\objemb{\\objdata " + digits.encode() + b"}}}")
for name, options in dict(plain={}, sectors4k=dict(shift=12), storage=dict(storage=True), gap=dict(gap=3)).items():
    put(f"clean-{name}", compound([("words", WORDS), ("more", WORDS * 9)], **options))

# A compound file behind other bytes.
whole = compound([("Data", PAYLOAD)], cutoff=0)
prefixes = dict(byte=b"x", words=WORDS, stub=b"MZ" + bytes(600), gif=b"GIF89a\1\0\1\0\0\0\0;", pdf=b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n", compound=compound([("Data", WORDS)]), rtf=b"{\\rtf1 words}", png=b"\x89PNG\r\n\x1a\n" + bytes(40), sector=bytes(512))
for name, prefix in prefixes.items():
    put(f"behind-{name}", prefix + whole)
    put(f"behind-{name}-and-before-words", prefix + whole + WORDS)
    put(f"behind-{name}-second", prefix + compound([("Data", WORDS)], cutoff=0) + whole)
