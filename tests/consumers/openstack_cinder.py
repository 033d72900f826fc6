"""Hands bundles' volume bodies to Cinder's own schemas. Apart from Nova: both define the same options.

Arguments: the bundles' folders. Prints a JSON list, for each folder an object: for each file null, or why Cinder
refuses it.
"""

import glob
import json
import logging
import os
import sys

logging.disable(logging.CRITICAL)

from cinder.api.schemas import qos_specs, volume_manage  # noqa: E402
from cinder.api.validation import validators  # noqa: E402

BODIES = (
    ("volume-manage-*.json", volume_manage.volume_manage_create_v316),
    ("volume-qos-*.json", qos_specs.create),
)
verdicts = []
for folder in sys.argv[1:]:
    verdict = {}
    for pattern, schema in BODIES:
        for path in sorted(glob.glob(os.path.join(folder, "api", pattern))):
            try:
                with open(path, encoding="utf-8") as file:
                    validators._SchemaValidator(schema).validate(json.load(file))
                verdict[os.path.basename(path)] = None
            except Exception as fault:  # what the schema raises is its answer
                verdict[os.path.basename(path)] = f"{type(fault).__name__}: {fault}"[:2000]
    verdicts.append(verdict)
print(json.dumps(verdicts))
