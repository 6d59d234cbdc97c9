"""Checks Kubernetes manifests against the schemas of Kubernetes, strictly: an unknown field is an error.

check.py VERSION[,VERSION...] FILE...

Prints one JSON object: for each file its documents, and what each version of Kubernetes says against them.
"""

import json
import sys

import yaml
from kubernetes_validate import utils


class NoDuplicates(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error, not the last one's win."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"{key} stands twice, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


def problems(document, version):
    try:
        used = utils.validate(document, version, strict=True)
    except utils.ValidationError as e:
        return [f"{version}: {'.'.join(str(p) for p in e.path)}: {e.message}"]
    except (utils.SchemaNotFoundError, utils.VersionNotSupportedError, utils.InvalidSchemaError) as e:
        return [f"{version}: {e.message}"]
    # The validator takes an older schema where it has none of the version that was asked for.
    return [] if used == version else [f"{version}: there is no schema, {used} was used"]


def main():
    versions, files = sys.argv[1].split(","), sys.argv[2:]
    report = {}
    for file in files:
        found = {"documents": [], "problems": []}
        try:
            with open(file, encoding="utf-8") as text:
                found["documents"] = [d for d in yaml.load_all(text, NoDuplicates) if d is not None]
        except yaml.YAMLError as e:
            found["problems"].append(str(e))
        for document in found["documents"]:
            # kustomize's own files are no objects of a cluster: kustomize reads them itself.
            if not str(document.get("apiVersion", "")).startswith("kustomize."):
                for version in versions:
                    found["problems"] += problems(document, version)
        report[file] = found
    json.dump(report, sys.stdout)


main()
