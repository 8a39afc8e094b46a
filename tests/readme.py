"""Checks that README.ko.md is in step with README.md: the same headings in number and level, the same code blocks to the byte, tables of the
same size, all of them in the same order; and in each section the same numbers, names in backticks and links, each as often, in any order.

Run by `.ci/run`; by itself, `python3 tests/readme.py`. Says what differs and exits with 1.
"""

import collections
import itertools
import pathlib
import re
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent
ORIGINAL, TRANSLATION = "README.md", "README.ko.md"

# What is a word in one language and a number in the other. Numbers that are words in both are not compared.
IN_WORDS = {"half-second": "0.5", "one second": "1"}


def parts(name):
    """What of a file has to be the same in both: (line number, what it is, for people, what is compared)."""
    section = []
    found = [(1, "section", section)]
    fence, code, begun = None, [], 0
    previous = ""
    for number, line in enumerate((FOLDER / name).read_text(encoding="utf-8").split("\n"), 1):
        opening = re.match(r" *(`{3,}|~{3,})", line)
        if fence:
            code.append(line)
            if line.strip().startswith(fence) and not line.strip(fence[0] + " "):
                found.append((begun, "code block", code))
                fence = None
        elif opening:
            fence, code, begun = opening[1], [line], number
        else:
            if heading := re.match(r"#+(?= )", line):
                section = []
                found += [(number, "heading", len(heading[0])), (number, "section", section)]
            elif line.startswith("|") and previous.startswith("|"):
                found[-1][2].append(columns(line))
            elif line.startswith("|"):
                found.append((number, "table", [columns(line)]))
            section.append(line)
        previous = line
    if fence:
        sys.exit(f"{name}:{begun}: this code block has no end")
    return [(number, what, facts(part) if what == "section" else part) for number, what, part in found]


def facts(section):
    """What of a section's words is the same in every language, and how often."""
    text = " ".join(" ".join(section).split())
    links = re.findall(r"\]\(([^)]*)\)", text)
    names = re.findall(r"`[^`]+`", text)
    words = re.sub(r"`[^`]+`|\]\([^)]*\)", "", text)
    for phrase, number in IN_WORDS.items():
        words = words.replace(phrase, number)
    return {
        "numbers": collections.Counter(re.findall(r"\d(?:[\d.,]*\d)?", words)),
        "names in backticks": collections.Counter(names),
        # Each leads to the other.
        "links": collections.Counter(link for link in links if link not in (ORIGINAL, TRANSLATION)),
    }


def columns(row):
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def difference(what, original, translation):
    """What is different, in words."""
    if what == "heading":
        return f"the heading is of level {translation}, not {original}"
    if what == "table":
        if len(original) != len(translation):
            return f"the table has {len(translation)} lines, not {len(original)}"
        return "a row of the table has another number of columns"
    if what == "section":
        return "in this section\n" + "\n".join(
            f"    the {kind} differ: {listed(original[kind] - translation[kind])} only in {ORIGINAL}, "
            f"{listed(translation[kind] - original[kind])} only in {TRANSLATION}"
            for kind in original
            if original[kind] != translation[kind]
        )
    for line, (wanted, got) in enumerate(itertools.zip_longest(original, translation), 1):
        if wanted != got:
            return f"line {line} of the code block is\n    {got!r}\nnot\n    {wanted!r}"
    raise AssertionError("nothing is different")


def listed(counter):
    return ", ".join(counter.elements()) or "nothing"


def check():
    for wanted, got in itertools.zip_longest(parts(ORIGINAL), parts(TRANSLATION)):
        if got is None:
            return f"{TRANSLATION} ends too early: the {wanted[1]} of {ORIGINAL}:{wanted[0]} is missing, and what follows"
        if wanted is None:
            return f"{TRANSLATION}:{got[0]}: this {got[1]} comes after all that is in {ORIGINAL}"
        if wanted[1] != got[1]:
            return f"{TRANSLATION}:{got[0]}: here is a {got[1]}, and a {wanted[1]} in {ORIGINAL}:{wanted[0]}"
        if wanted[2] != got[2]:
            return f"{TRANSLATION}:{got[0]}, {ORIGINAL}:{wanted[0]}: {difference(*wanted[1:], got[2])}"
    return None


if __name__ == "__main__":
    sys.exit(check())
