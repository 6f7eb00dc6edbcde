"""What a lab has today for two captures: each way to pair their packets, as one would write it.

A program of its own, so that another interpreter can run it, which has the packages:
``python analyse_peers.py dpkt|struct|scapy|pandas LEFT RIGHT`` prints one JSON line with packets,
paired packets, seconds (imports not counted), and user and system seconds of itself and of what it
started.
"""

import json
import os
import struct
import subprocess
import sys
import time

PAYLOAD_BYTES = 64


def dpkt_rows(path):
    import dpkt

    with open(path, "rb") as file:
        for when, data in dpkt.pcap.Reader(file):
            packet = dpkt.ethernet.Ethernet(data).data
            if isinstance(packet, dpkt.ip.IP) and isinstance(packet.data, dpkt.udp.UDP):
                body = packet.data
                payload = bytes(body.data)[:PAYLOAD_BYTES]
                yield float(when), (packet.src, packet.dst, body.sport, body.dport, payload)


def struct_rows(path):
    with open(path, "rb") as file:
        file.read(24)
        header = struct.Struct("<IIII").unpack
        while head := file.read(16):
            seconds, part, kept, _ = header(head)
            data = file.read(kept)
            if data[12:14] == b"\x08\x00" and data[23] == 17:
                at = 14 + (data[14] & 15) * 4
                key = data[26:34] + data[at : at + 4] + data[at + 8 : at + 8 + PAYLOAD_BYTES]
                yield seconds + part * 1e-9, key


def scapy_rows(path):
    from scapy.layers.inet import IP, UDP
    from scapy.utils import PcapReader

    with PcapReader(path) as reader:
        for packet in reader:
            if UDP in packet:
                ip, udp = packet[IP], packet[UDP]
                payload = bytes(udp.payload)[:PAYLOAD_BYTES]
                yield float(packet.time), (ip.src, ip.dst, udp.sport, udp.dport, payload)


def by_dict(rows, left, right):
    """Each arrival with the first packet sent before that looks like it and has none yet."""
    sent, count, delays = {}, 0, []
    for when, key in rows(left):
        count += 1
        sent.setdefault(key, []).append(when)
    for when, key in rows(right):
        count += 1
        waiting = sent.get(key)
        if waiting:
            delays.append(when - waiting.pop(0))
    return count, len(delays)


def by_pandas(left, right):
    import pandas

    names = ("frame.time_epoch", "ip.src", "ip.dst", "udp.srcport", "udp.dstport", "udp.payload")
    frames = []
    for path in (left, right):
        command = ["tshark", "-r", path, "-T", "fields", "-E", "separator=,", "-Y", "udp"]
        for name in names:
            command += ["-e", name]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            table = pandas.read_csv(process.stdout, names=names, dtype={"udp.payload": str})
        table["again"] = table.groupby(list(names[1:])).cumcount()
        frames.append(table)
    paired = frames[0].merge(frames[1], on=[*names[1:], "again"])
    return sum(len(each) for each in frames), len(paired)


WAYS = {
    "dpkt": lambda left, right: by_dict(dpkt_rows, left, right),
    "struct": lambda left, right: by_dict(struct_rows, left, right),
    "scapy": lambda left, right: by_dict(scapy_rows, left, right),
    "pandas": by_pandas,
}
NEEDED = {"dpkt": ["dpkt"], "struct": [], "scapy": ["scapy.utils"], "pandas": ["pandas"]}


def main():
    way, left, right = sys.argv[1:]
    for name in NEEDED[way]:
        __import__(name)
    start, used = time.perf_counter(), sum(os.times()[:4])
    packets, paired = WAYS[way](left, right)
    seconds, used = time.perf_counter() - start, sum(os.times()[:4]) - used
    found = {"packets": packets, "paired": paired, "seconds": seconds, "processor_s": used}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
