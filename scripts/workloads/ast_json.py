"""ast_json.py FILE...: parses each Python file to a syntax tree, writes the tree as source and as
JSON, and reads the JSON again."""

import ast
import json
import sys


def plain(node):
    """The tree as lists, dictionaries and what JSON knows."""
    if isinstance(node, ast.AST):
        return {type(node).__name__: {name: plain(value) for name, value in ast.iter_fields(node)}}
    if isinstance(node, list):
        return [plain(item) for item in node]
    return node if isinstance(node, (str, int, float, bool, type(None))) else repr(node)


total = 0
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    total += len(ast.unparse(tree))
    text = json.dumps(plain(tree))
    total += len(text) + len(json.loads(text))
print(total)
