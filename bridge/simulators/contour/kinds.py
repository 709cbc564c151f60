"""The meters that are simulated, and how each differs on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.simulators.usb import Descriptor, Endpoint, Interface

VENDOR = 0x1A79
_HID, _MASS_STORAGE = 3, 8
_LANGUAGES = r"en,en\de\fr\it\nl\es\pt\sl\hr\da\no\fi\sv\el"


@dataclass(frozen=True, slots=True)
class Kind:
    """One product. `settings` is the header's fifth field; `serial` the shape with `{}` for the printed serial.

    `ends_itself`: after the last ACK it sends EOT unasked; `impatient`: an ACK that comes late is error E86;
    `lingers`: a session cut short is still there at the next wake-up; `logbook`: it takes carbs and insulin.
    """

    product: int
    code: str
    name: str
    versions: str
    serial: str
    sku: str
    settings: str
    processing: str
    stamp_digits: int
    clock_digits: int
    trailing_bar: bool
    in_endpoint: int
    out_endpoint: int
    mass_storage: bool = False
    ends_itself: bool = True
    impatient: bool = False
    lingers: bool = False
    logbook: bool = False
    clock_of_pump: bool = False
    mmol: bool = False

    def descriptor(self, serial: str) -> Descriptor:
        """How it shows itself on the bus."""
        hid = Interface(
            _HID, (Endpoint(self.in_endpoint, interrupt=True), Endpoint(self.out_endpoint, interrupt=True))
        )
        disk = Interface(_MASS_STORAGE, (Endpoint(0x85, interrupt=False), Endpoint(0x06, interrupt=False)))
        interfaces = (hid, disk) if self.mass_storage else (hid,)
        return Descriptor(VENDOR, self.product, interfaces, self.name, self.serial.format(serial))


CONTOUR_USB = Kind(
    0x6002, "Bayer7390", "Contour USB", r"01.24\01.04\09.02", "7390-{}", "", "A=0^C=63^G=1^I=0200^R=0^S=0^U=1"
    "^V=10600^X=070070070070180130150250^Y=120070047054054126099180^Z=1", "", 12, 12, False, 0x81, 0x01,
    mass_storage=True, mmol=True,
)  # fmt: skip
CONTOUR_NEXT_USB = Kind(
    0x7410, "Bayer7410", "Contour Next USB", r"01.10\01.05\10.03", "7428-{}", "00000",
    f"A=1^C=03^G={_LANGUAGES}^I=0200^R=0^S=01^U=303^V=20600^X=054070054054180154154254054154"
    "^Y=360126099054120054252099^Z=1", "P", 12, 14, False, 0x83, 0x04,
    mass_storage=True, impatient=True, logbook=True,
)  # fmt: skip
CONTOUR_NEXT = Kind(
    0x7350, "Bayer7350", "Contour Next", r"01.05\01.01\04.00", "7353-{}", "00000",
    "A=1^C=00^G=0^I=0200^R=0^S=01^U=0^V=20600^X=070070070070180130150250^Y=360126099054120054252099^Z=1", "P",
    12, 14, False, 0x81, 0x02,
)  # fmt: skip
CONTOUR_NEXT_ONE = Kind(
    0x7800, "Contour7800", "Contour Next One", r"01.00\01.00\01.00", "7802H{}", "",
    "A=1^C=6^R=0^S=1^U=1^V=06333^X=039039100072^a=1^J=0", "P", 14, 14, True, 0x82, 0x01,
    ends_itself=False, lingers=True, mmol=True,
)  # fmt: skip
NEXT_LINK_24 = Kind(
    0x6210, "Bayer6210", "Contour Next Link 2.4", r"01.16\01.12\17.08", "6213-{}", "0000-",
    "A=1^C=00^R=0^S=1^U=0^V=20600^X=070070070070180130150250^Y=360126099054120054252099^Z=1", "P",
    14, 14, False, 0x83, 0x04, clock_of_pump=True,
)  # fmt: skip
KINDS = (CONTOUR_USB, CONTOUR_NEXT_USB, CONTOUR_NEXT, CONTOUR_NEXT_ONE, NEXT_LINK_24)
