"""YAML that means what it looks like: for sweeps, parameters and options that people write by hand."""

import re

import yaml

BASE_8_OR_60 = re.compile(r"[-+]?(0[0-9_]+|0o[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
MOST_VALUES = 100_000  # in one text, repeated ones counted again


class _Loader(yaml.SafeLoader):
    """`yaml.SafeLoader`, strict."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag != "tag:yaml.org,2002:merge":
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, str | int | float | bool | None):
                    raise yaml.constructor.ConstructorError(None, None, f"{key!r} is no name", key_node.start_mark)
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key!r} is given more than once", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_number(self, node):
        """A number. In base 10 it is what it looks like; 010 would be 8, and 1:30 would be 90."""
        if BASE_8_OR_60.fullmatch(node.value):
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"{node.value} would be a number in base 8 or 60; write it in base 10, or in quotes if it is a text",
                node.start_mark,
            )
        return self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)

    def refuse(self, node):
        """No value: what is read must be texts, numbers, true, false, null, lists and mappings."""
        kind = node.tag.rpartition(":")[2]
        raise yaml.constructor.ConstructorError(None, None, f"a {kind} is not understood here", node.start_mark)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)
for _kind in ("timestamp", "binary", "set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.refuse)
# 1e-3 is a number, too, though PyYAML reads it as a text
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load(text: str, what: str):
    """The value of the YAML in `text`. ValueError, naming `what` it is of, for what is no plain YAML.

    Refused are tags, keys given twice, numbers in base 8 or 60, and a value that is within itself.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_size(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML value"
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None and mark.line else ""
        raise ValueError(f"{what} cannot be read: {problem}{where}") from error


def _check_size(root) -> None:
    """YAMLError where a node is within itself, or where there are more than `MOST_VALUES` of them."""
    count, todo = 0, [(root, frozenset())]
    while todo:
        node, above = todo.pop()
        count += 1
        if id(node) in above:
            raise yaml.constructor.ConstructorError(None, None, "a value is within itself", node.start_mark)
        if count > MOST_VALUES:
            raise yaml.constructor.ConstructorError(None, None, f"it has more than {MOST_VALUES:,} values")
        if isinstance(node, yaml.CollectionNode):
            inner = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
            todo += [(part, above | {id(node)}) for part in inner]
