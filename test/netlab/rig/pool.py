"""A pool that makes a workload talk: a numbered job every so often, each of which is a line of its log.

args: port, jobs a second
"""
import itertools
import json
import socket
import sys
import threading
import time


def serve(conn, every, numbers):
    lines, send = conn.makefile("r"), lambda o: conn.sendall((json.dumps(o) + "\n").encode())
    for line in lines:
        m = json.loads(line)
        if m["method"] == "mining.subscribe":
            send({"id": m["id"], "result": [[["mining.notify", "s"]], "00000001", 4], "error": None})
            continue
        send({"id": m["id"], "result": True, "error": None})
        if m["method"] == "mining.authorize":
            break
    send({"id": None, "method": "mining.set_difficulty", "params": [1e9]})  # no share is ever found
    while True:
        job = [str(next(numbers)), "00" * 32, "00" * 40, "00" * 40, [], "20000000", "1d00ffff", "66666666", True]
        send({"id": None, "method": "mining.notify", "params": job})
        time.sleep(every)


def attend(conn, every, numbers):
    try:
        serve(conn, every, numbers)
    except OSError:
        pass  # the miner was stopped


def main(port, rate):
    numbers = itertools.count(1)
    listener = socket.create_server(("127.0.0.1", int(port)))
    print("ready", flush=True)
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=attend, args=(conn, 1 / float(rate), numbers), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
