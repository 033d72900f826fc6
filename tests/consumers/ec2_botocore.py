"""Holds answers against botocore's model of EC2, and its parser's reading of the XML against the JSON beside it.

Argument: the folder with ACTION.xml and ACTION.json. Prints in JSON how many answers there were and what is wrong.
"""

import datetime
import json
import os
import sys

import botocore.session
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

folder = sys.argv[1]
model = botocore.session.get_session().get_service_model("ec2")
parser = create_parser(model.protocol)
wrong = []


def plain(value):
    """The value with moments as the API writes them."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if key != "ResponseMetadata"}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


def foreign_words(value, shape, at):
    """Words that are none of an enumeration's; botocore's own validator lets them pass."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from foreign_words(inner, shape.members[name], f"{at}.{name}")
    elif shape.type_name == "list":
        for nth, inner in enumerate(value):
            yield from foreign_words(inner, shape.member, f"{at}[{nth}]")
    elif getattr(shape, "enum", []) and value not in shape.enum:
        yield f"{at}: {value!r} is not one of the words of {shape.name}"


def difference(xml, shown, at):
    if isinstance(xml, dict) and isinstance(shown, dict):
        for key in sorted(xml.keys() | shown.keys()):
            yield from difference(xml.get(key), shown.get(key), f"{at}.{key}")
    elif isinstance(xml, list) and isinstance(shown, list) and len(xml) == len(shown):
        for nth, pair in enumerate(zip(xml, shown)):
            yield from difference(*pair, f"{at}[{nth}]")
    elif xml != shown or type(xml) is not type(shown):
        yield f"{at}: the XML says {xml!r}, the JSON {shown!r}"


names = sorted(name[: -len(".json")] for name in os.listdir(folder) if name.endswith(".json"))
for name in names:
    shape = model.operation_model(name.split(".")[0]).output_shape
    with open(os.path.join(folder, f"{name}.json"), encoding="utf-8") as file:
        shown = json.load(file)
    faults = ParamValidator().validate(shown, shape)
    if faults.has_errors():
        wrong.append(f"{name}: {faults.generate_report()}")
        continue
    wrong.extend(foreign_words(shown, shape, name))
    with open(os.path.join(folder, f"{name}.xml"), "rb") as file:
        answer = {"body": file.read(), "headers": {}, "status_code": 200}
    try:
        wrong.extend(difference(plain(parser.parse(answer, shape)), shown, name))
    except Exception as fault:  # A parser may refuse in any way.
        wrong.append(f"{name}: the parser refuses: {fault}")
print(json.dumps({"answers": len(names), "wrong": wrong}))
