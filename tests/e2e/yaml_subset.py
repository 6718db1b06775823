"""As much YAML as our own files and outputs use: maps and lists by indentation, quoted and plain scalars, |-blocks, [flow lists], comments."""
import json


def scalar(text):
    text = text.strip()
    if text.startswith(('"', "[", "{")):
        return json.loads(text)
    words = {"true": True, "false": False, "~": None, "null": None, "": None}
    if text in words:
        return words[text]
    return int(text) if text.lstrip("-").isdigit() else text


def key_of(text):
    """("key", rest) of "key: rest"."""
    if text.startswith('"'):
        key, at = json.JSONDecoder().raw_decode(text)
        return key, text[at:].lstrip()[1:].strip()
    key, _, rest = text.partition(":")
    return (int(key) if key.isdigit() else key), rest.strip()


class Reader:
    def __init__(self, text):
        self.lines = [(len(l) - len(l.lstrip()), l.strip(), l) for l in text.splitlines() if not l.lstrip().startswith("#")]
        self.at = 0

    def peek(self):
        while self.at < len(self.lines) and not self.lines[self.at][1]:
            self.at += 1
        return self.lines[self.at] if self.at < len(self.lines) else (-1, "", "")

    def block(self, indent):
        out = []
        while self.at < len(self.lines) and (self.lines[self.at][0] > indent or not self.lines[self.at][1]):
            out.append(self.lines[self.at][1])
            self.at += 1
        return "\n".join(out)

    def value(self, indent):
        level, text, _ = self.peek()
        if level <= indent and not (level == indent and text.startswith("- ")):
            return None
        return self.sequence(level) if text.startswith("- ") else self.mapping(level)

    def sequence(self, level):
        out = []
        while self.peek()[0] == level and self.peek()[1].startswith("- "):
            out.append(scalar(self.peek()[1][2:]))
            self.at += 1
        return out

    def mapping(self, level):
        out = {}
        while self.peek()[0] == level:
            key, rest = key_of(self.peek()[1])
            if key in out:
                raise ValueError("twice: %s" % key)
            self.at += 1
            out[key] = self.block(level) if rest == "|" else scalar(rest) if rest else self.value(level)
        if self.peek()[0] > level:
            raise ValueError("indentation: %r" % self.peek()[2])
        return out


def read(text):
    r = Reader(text)
    out = r.value(-1)
    if r.peek()[0] >= 0:
        raise ValueError("left over: %r" % r.peek()[2])
    return out
