"""What the cases of the oracle test are built with. Arguments: the directory to write to, and the payload in hexadecimal."""
import os, random, subprocess, sys, zlib

OUT, PAYLOAD = sys.argv[1], bytes.fromhex(sys.argv[2])
# Stands within longer content, where the payload must be a whole file.
MARKER = b"a marker of the oracle test, within what streams in a row unpack to"
WORDS = b"just some words, of which nobody is afraid. " * 20


def put(name, content):
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(content)


def noise(length, seed=1):
    return random.Random(seed).randbytes(length)


def deflate(content):
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(content) + stream.flush()


def run(program, *arguments, content=None, directory=None):
    """What a program prints; None when it is not installed."""
    try:
        done = subprocess.run([program, *arguments], input=content, cwd=directory, capture_output=True, check=True)
    except FileNotFoundError:
        print("not installed:", program)
        return None
    except subprocess.CalledProcessError as error:
        print("no case:", program, *arguments, error.stderr[-200:])
        return None
    return done.stdout
