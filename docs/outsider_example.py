"""An outsider's device and defect, to try to fool the bench (docs/prove.md).

``bench run local_control --device docs/outsider_example.py:creeping_robot``
``bench prove --device telesurgery-robot --defect docs/outsider_example.py:sleepy_alarm``
"""

from dataclasses import replace

from bench.devices.defects import Defect, traits_of
from bench.devices.registry import find_device
from bench.devices.robot.doctor import DoctorSide
from bench.devices.robot.patient import PatientSide


class CreepingSide(PatientSide):
    """Opens its motion contact on a local stop, and goes on executing every tenth command."""

    def _on_command(self, now_ns, link, message):
        super()._on_command(now_ns, link, message)
        if self.stop_latched and message.seq % 10 == 0:
            self.port.actuate(now_ns, message)


MACHINES = {
    "creeping-robot": {
        "patient": lambda profile, port: CreepingSide(profile, traits_of(profile), port),
        "doctor": lambda profile, port: DoctorSide(profile, traits_of(profile), port),
    },
}


def creeping_robot():
    """The telesurgery robot with another state machine on the patient side."""
    robot = find_device("telesurgery-robot")
    return replace(robot, name="creeping-robot", machine="creeping-robot")


sleepy_alarm = Defect(
    name="sleepy-alarm",
    title="the alarm of an interruption sounds late, all others in time",
    breaks=("MON-2",),
    apply=lambda traits, size: replace(
        traits, signal_after={"network-interrupted": size, "link-lost": size}
    ),
    size=0.7,
    timed=True,
)
