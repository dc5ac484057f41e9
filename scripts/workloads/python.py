"""CPython at work: JSON to and from text, and Python sources to and from syntax trees."""
import ast
import json

data = [{"id": i, "name": "n%d" % i, "tags": ["t%d" % (i % 7)] * 3} for i in range(12000)]
for _ in range(4):
    data = json.loads(json.dumps(data, indent=1))

source = "\n".join(
    "def f%d(a, b=%d):\n    return [x * a + b for x in range(%d) if x %% 3]" % (i, i, i)
    for i in range(900)
)
for _ in range(3):
    source = ast.unparse(ast.parse(source))
print(len(data), len(source))
