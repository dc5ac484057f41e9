"""Reads a flame graph with Python's XML parser: its sum, its names and every element that is no drawing."""

import json
import re
import sys
import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
root = ET.parse(sys.argv[1]).getroot()
titles = [title.text for title in root.iter(SVG + "title")]
(total,) = filter(None, (re.fullmatch(r"all \(([\d,]+) (\w+), 100%\)", title) for title in titles))
names = [re.sub(r" \([\d,]+ \w+, [^()]*%\)$", "", title) for title in titles]
scripts = list(root.iter(SVG + "script"))
tags = {element.tag.removeprefix(SVG) for element in root.iter()}
print(
    json.dumps(
        {
            "sum": int(total[1].replace(",", "")),
            "unit": total[2],
            "names": names,
            "scripts": len(scripts),
            "other": sorted(tags - {"svg", "defs", "linearGradient", "stop", "style", "script", "rect", "text", "g", "title"}),
        }
    )
)
