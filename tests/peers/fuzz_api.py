"""Fuzz a daemon's API by its own document, with schemathesis.

    pip install 'schemathesis==4.*'
    python tests/peers/fuzz_api.py [NASD] [STRATEGIES] [EXAMPLES]

A daemon with null trainers is started in a folder of its own, with one run that goes on and one that is over. Four passes:
the document as it is and the same with the names of those runs in the place of every name (so that what is behind a name
is reached), each with the token and without it. No answer may be a 5xx, be of an undocumented kind, or differ from its
schema; without the token none may be a success but those of /live and /ready. At the end the daemon lives, has logged no
failed request and no panic, and ends with exit code 0.
"""

import copy
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
NASD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/nasd").resolve()
STRATEGIES = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "target/strategies").resolve()
EXAMPLES = sys.argv[3] if len(sys.argv) > 3 else "60"

SEARCH = """
name = "{name}"
space = "nas-bench-201"
space-settings = {{ "stack.channels" = 4, "stack.cells-per-stage" = 1 }}
[task]
data = "digits"
fidelity = 3
[strategy]
component = "random"
[budget]
jobs = {jobs}
[scheduling]
slots = 2
savepoint-every = 20
"""

HOOKS = '''
import schemathesis


@schemathesis.serializer("application/wasm")
def bytes_as_they_are(context, value):
    return value if isinstance(value, bytes) else bytes(str(value), "utf-8")


@schemathesis.check
def no_success_without_the_token(ctx, response, case):
    if case.path not in ("/live", "/ready"):
        assert response.status_code in (400, 401, 403, 404, 405, 408, 413, 431), response.status_code
'''

# Passes with the token: what an answer may be. Left out: `unsupported_method`, `missing_required_header` and
# `ignored_auth` ask for answers to requests that the guard refuses before it looks at anything else;
# `positive_data_acceptance` cannot know that a search or a component has to be a good one.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
CHECKS += "response_schema_conformance,negative_data_rejection"


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="nasd-fuzz-"))
    (folder / "searches").mkdir()
    for name, jobs in (("goes-on", 10_000_000), ("is-over", 30)):
        (folder / f"searches/{name}.toml").write_text(SEARCH.format(name=name, jobs=jobs))
    (folder / "daemon.toml").write_text('[[device]]\nkind = "null:20"\ntrainers = 2\n')
    (folder / "hooks.py").write_text(HOOKS)
    environment = {**os.environ, "NASD_STRATEGIES": str(STRATEGIES)}
    with open(folder / "log", "w") as log:
        command = [NASD, "serve", "--json", "--listen", "127.0.0.1:0", "--config", folder / "daemon.toml"]
        command += ["--state", folder / "state"]
        daemon = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    base = "http://" + json.loads(daemon.stdout.readline())["address"]
    token = (folder / "state/token").read_text().strip()

    def get(path):
        request = urllib.request.Request(base + path, headers={"Authorization": f"Bearer {token}"})
        return json.load(urllib.request.urlopen(request))

    while len(get("/v1/runs?state=ended")["runs"]) < 1 or get("/v1/runs/goes-on/1")["jobs"] < 50:
        time.sleep(0.1)
    document = get("/openapi.json")
    # It ends the daemon; its answer is in the tests of the tree.
    del document["paths"]["/v1/shutdown"]
    failures = []
    for name, paths in (("any names", document), ("known names", pinned(document))):
        (folder / "document.json").write_text(json.dumps(paths))
        for has_token in (True, False):
            arguments = [shutil.which("schemathesis") or pathlib.Path(sys.executable).with_name("schemathesis")]
            arguments += ["run", folder / "document.json", "--url", base, "--max-examples", EXAMPLES]
            arguments += ["--request-timeout", "60", "--continue-on-failure", "--no-color", "--seed", "1"]
            arguments += ["--suppress-health-check", "all", "--phases", "examples,coverage,fuzzing"]
            if has_token:
                # Other names than the known ones are no wrong data.
                checks = CHECKS if paths is document else CHECKS.removesuffix(",negative_data_rejection")
                arguments += ["--header", f"Authorization: Bearer {token}", "--checks", checks]
            else:
                arguments += ["--checks", "not_a_server_error,no_success_without_the_token"]
            print(f"\n== {name}, {'with' if has_token else 'without'} the token", flush=True)
            hooks = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(folder)}
            if subprocess.run(arguments, cwd=folder, env=hooks).returncode != 0:
                failures.append(f"{name}, {has_token=}")
    assert get("/live") == {"status": "live"}
    daemon.terminate()
    code = daemon.wait(timeout=90)
    log = (folder / "log").read_text()
    for word in ("a request failed", "panicked"):
        if word in log:
            failures.append(f"the log says: {[line for line in log.splitlines() if word in line][:5]}")
    if code != 0:
        failures.append(f"exit code {code}")
    print("\n" + ("\n".join(failures) or "nothing found"))
    if not failures:
        shutil.rmtree(folder)
    return 1 if failures else 0


def pinned(document):
    """The same with names of things that there are."""
    document = copy.deepcopy(document)
    values = {
        "name": {"type": "string", "enum": ["goes-on", "is-over"]},
        "number": {"type": "integer", "enum": [1, 2]},
        "job": {"type": "integer", "enum": [1, 2, 29, 1000]},
    }
    for path, item in document["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path" and parameter["name"] in values:
                    parameter["schema"] = values[parameter["name"]]
                if path.endswith("/events") and parameter["name"] == "follow":
                    # A run that goes on has no end of events.
                    parameter.update(required=True, schema={"type": "boolean", "enum": [False]})
    return document


if __name__ == "__main__":
    sys.exit(main())
