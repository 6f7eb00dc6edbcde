"""Defects of records and reports: keeping, back-filling, sets, alarms of the patient."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import MONITOR, Defect

DEFECTS = (
    Defect(
        "backfill-gap",
        "keeps not every record that is made in an outage",
        ("PRE-1",),
        lambda t, _: replace(t, store=replace(t.store, forgets_every=4)),
        machines=(MONITOR,),
    ),
    Defect(
        "backfill-duplicates",
        "files its last record again after an outage",
        ("PRE-1",),
        lambda t, _: replace(t, store=replace(t.store, repeats=1)),
        machines=(MONITOR,),
    ),
    Defect(
        "records-in-volatile-memory",
        "loses its records with the power",
        ("PRE-1",),
        lambda t, _: replace(t, store=replace(t.store, keeps_without_power=False)),
        machines=(MONITOR,),
    ),
    Defect(
        "believes-torn-record",
        "takes a record whose writing the power loss cut off for a whole one",
        ("PRE-1",),
        lambda t, _: replace(t, store=replace(t.store, checks_writing=False)),
        machines=(MONITOR,),
    ),
    Defect(
        "corrupts-records",
        "alters every fourth record",
        ("PRE-1",),
        lambda t, _: replace(t, store=replace(t.store, corrupts_every=4)),
        machines=(MONITOR,),
    ),
    Defect(
        "rare-sets",
        "reports its sets too rarely",
        ("ICU-1", "003-c1-icu-monitor-interval"),
        lambda t, size: replace(t, reports=replace(t.reports, period_s=size)),
        size=90.0,
        timed=True,
        machines=(MONITOR,),
    ),
    Defect(
        "rare-ambulance-sets",
        "reports the sets of the ambulance too rarely",
        ("003-c1-emergency-monitor-interval",),
        lambda t, size: replace(t, reports=replace(t.reports, period_s=size)),
        size=90.0,
        timed=True,
        machines=(MONITOR,),
    ),
    Defect(
        "late-patient-alarm",
        "tells the station of a patient's alarm late",
        ("ICU-1",),
        lambda t, size: replace(t, reports=replace(t.reports, alarm_after_s=size)),
        size=1.4,
        timed=True,
        machines=(MONITOR,),
    ),
    Defect(
        "alarm-waits-for-set",
        "tells the station of a patient's alarm with the next set only",
        ("ICU-1",),
        lambda t, _: replace(t, reports=replace(t.reports, alarm_with_set=True)),
        machines=(MONITOR,),
    ),
    Defect(
        "drops-fifth-device",
        "drops the records of the fifth device while five send",
        ("ICU-2",),
        lambda t, _: replace(t, reports=replace(t.reports, served=4)),
        machines=(MONITOR,),
    ),
)
