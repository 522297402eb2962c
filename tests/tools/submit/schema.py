"""Checks objects of other people's APIs against manifests.schema.json: each field has to be one that the API has."""
import functools
import json
import os

try:
    import jsonschema
    import yaml
except ImportError:
    jsonschema = yaml = None

HERE = os.path.dirname(os.path.realpath(__file__))
WHY_NOT = None if jsonschema else 'python3-jsonschema or python3-yaml is not installed'


@functools.lru_cache(None)
def definitions():
    with open(os.path.join(HERE, 'manifests.schema.json'), encoding='utf-8') as file:
        return json.load(file)['definitions']


@functools.lru_cache(None)
def validator_of(kind):
    whole = {'$ref': f'#/definitions/{kind}', 'definitions': definitions()}
    jsonschema.Draft7Validator.check_schema(whole)
    return jsonschema.Draft7Validator(whole)


def faults(kind, item):
    """What is wrong with the object: texts, none for a good one."""
    if kind not in definitions():
        return [f'there is no fixture for {kind}']
    return [f'{kind}.{".".join(str(part) for part in error.absolute_path)}: {error.message}'
            for error in validator_of(kind).iter_errors(item)]


def objects_of(manifest):
    """The objects of a manifest, by kind; each kind once."""
    found = {}
    for item in yaml.safe_load_all(manifest):
        assert item['kind'] not in found, item['kind']
        found[item['kind']] = item
    return found
