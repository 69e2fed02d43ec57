"""Two formats in one file, in each order, with the payload in either; and marks that lead nowhere before an archive."""
import bz2, gzip, io, lzma, os, sys, tarfile, tempfile, zipfile
sys.path.insert(0, __file__.rsplit("/", 1)[0])
from common import *


def zipped(method):
    def make(name, content):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr(name, content)
        return out.getvalue()
    return make


def by_bsdtar(*options):
    def make(name, content):
        with tempfile.TemporaryDirectory() as place:
            open(f"{place}/{name}", "wb").write(content)
            run("bsdtar", "-cf", "made", *options, name, directory=place)
            return open(place + "/made", "rb").read()
    return make


FORMATS = dict(
    zip=zipped(zipfile.ZIP_DEFLATED), ziplzma=zipped(zipfile.ZIP_LZMA), zipbzip2=zipped(zipfile.ZIP_BZIP2),
    gz=lambda name, content: gzip.compress(content, mtime=0), bz2=lambda name, content: bz2.compress(content), xz=lambda name, content: lzma.compress(content),
    zst=by_bsdtar("--zstd"), lz4=by_bsdtar("--lz4"), lz=by_bsdtar("--lzip"), Z=by_bsdtar("--compress"), lzma=by_bsdtar("--lzma"),
    sevenzip=by_bsdtar("--format=7zip"), sevenbzip2=by_bsdtar("--format=7zip", "--options=7zip:compression=bzip2"), tar=by_bsdtar("--format=ustar"),
    cpio=by_bsdtar("--format=newc"), odc=by_bsdtar("--format=odc"), ar=by_bsdtar("--format=ar"), iso=by_bsdtar("--format=iso9660"), xar=by_bsdtar("--format=xar"),
    warc=by_bsdtar("--format=warc"), uu=by_bsdtar("--format=ustar", "--uuencode"),
)
words = {name: make("words.txt", WORDS) for name, make in FORMATS.items()}
evil = {name: make("eicar.com", PAYLOAD) for name, make in FORMATS.items()}
for first in FORMATS:
    put(f"clean-{first}", words[first])
    put(f"{first}", evil[first])
    for second in FORMATS:
        put(f"{first}-then-evil-{second}", words[first] + evil[second])
        if second in ("zip", "ziplzma", "tar", "iso"):
            put(f"evil-{first}-then-{second}", evil[first] + words[second])
        aligned = bytes(-len(words[first]) % 512 + 512)
        put(f"{first}-gap-evil-{second}", words[first] + aligned + evil[second])
        if first in ("ziplzma", "sevenbzip2", "zst", "cpio"):
            put(f"{first}-in-{second}", FORMATS[second]("inner", evil[first]))

DECOYS = dict(zip=b"PK\3\4", zipfit=b"PK\3\4\x14\0\0\0\0\0\0\0!\0" + bytes(12) + b"\1\0\0\0a", seven=b"7z\xbc\xaf\x27\x1c", arj=b"\x60\xea", cab=b"MSCF\0\0\0\0",
              rar=b"Rar!\x1a\7\0", rar5=b"Rar!\x1a\7\1\0", gz=b"\x1f\x8b\x08\0\0\0\0\0\0\3", xz=b"\xfd7zXZ\0\0\4", bz2=b"BZh91AY&SY", zst=b"\x28\xb5\x2f\xfd\x04",
              lha=b"\x19\0-lh5-", end=b"PK\5\6" + bytes(18), entry=b"PK\1\2", xar=b"xar!\0\x1c\0\1", lzip=b"LZIP\1\x0c", lz4=b"\x04\x22\x4d\x18\x64\x40\xa7")
for decoy, mark in DECOYS.items():
    for count in (1, 10, 11, 300, 11000):
        for start in (b"MZ" + bytes(100), b"GIF89a\1\0\1\0\0\0\0;"):
            for name in ("ziplzma", "gz", "sevenbzip2") if count < 11000 or len(start) > 100 else ():
                put(f"decoys-{decoy}-{count}-{len(start)}-{name}", start + mark * count + evil[name])
