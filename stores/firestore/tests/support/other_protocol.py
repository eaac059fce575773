"""Another program that elects a leader over one Firestore document, by its own protocol.

The document has `holderId`, `updatedAtMs` and `expiresAtMs`, by the clock of whoever writes them. Every heartbeat is one
transaction: the document is taken where it is missing, expired, not updated for SILENCE seconds, or already its own. A
program that is asked to end takes the three fields away and keeps the document. Prints a line for each change.
"""
import argparse, json, signal, sys, time, urllib.error, urllib.request

options = argparse.ArgumentParser()
options.add_argument("--emulator", required=True)
options.add_argument("--project", required=True)
options.add_argument("--document", default="system/ircLeader")
options.add_argument("--holder", required=True)
options.add_argument("--ttl", type=float, default=120)
options.add_argument("--heartbeat", type=float, default=30)
options.add_argument("--silence", type=float, default=120)
options.add_argument("--clock-off", type=float, default=0, help="by how many seconds its clock is ahead")
options.add_argument("--merge", action="store_true", help="writes its fields over what else is there")
options = options.parse_args()

ROOT = f"projects/{options.project}/databases/(default)/documents"
NAME = f"{ROOT}/{options.document}"
FIELDS = ["holderId", "updatedAtMs", "expiresAtMs"]


def post(method, body):
    request = urllib.request.Request(f"http://{options.emulator}/v1/{ROOT}:{method}", json.dumps(body).encode())
    request.add_header("Authorization", "Bearer owner")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def now():
    return int((time.time() + options.clock_off) * 1000)


def millis(fields, name):
    return int(fields.get(name, {}).get("integerValue", 0))


def say(word):
    print(word, flush=True)


def write(fields, transaction=None):
    update = {"update": {"name": NAME, "fields": fields}}
    if options.merge or not fields:
        update["updateMask"] = {"fieldPaths": FIELDS}
    post("commit", {"writes": [update]} | ({"transaction": transaction} if transaction else {}))


def evaluate():
    """Whether it leads now."""
    transaction = post("beginTransaction", {})["transaction"]
    found = post("batchGet", {"documents": [NAME], "transaction": transaction})[0].get("found")
    fields = (found or {}).get("fields", {})
    holder, at = fields.get("holderId", {}).get("stringValue"), now()
    free = millis(fields, "expiresAtMs") <= at or millis(fields, "updatedAtMs") <= at - options.silence * 1000
    if found and not free and holder != options.holder:
        post("rollback", {"transaction": transaction})
        return False
    write({
        "holderId": {"stringValue": options.holder},
        "updatedAtMs": {"integerValue": str(at)},
        "expiresAtMs": {"integerValue": str(at + int(options.ttl * 1000))},
    }, transaction)
    return True


def end(*_):
    raise SystemExit


signal.signal(signal.SIGTERM, end)
leads = False
try:
    while True:
        try:
            led, leads = leads, evaluate()
            if leads != led:
                say("leads" if leads else "lost")
            elif not leads:
                say("waits")
        except (urllib.error.URLError, OSError) as error:
            # As the protocol's program does: it goes on as before.
            say(f"error {error}")
        time.sleep(options.heartbeat)
finally:
    if leads:
        found = post("batchGet", {"documents": [NAME]})[0].get("found", {})
        if found.get("fields", {}).get("holderId", {}).get("stringValue") == options.holder:
            write({})
        say("released")
