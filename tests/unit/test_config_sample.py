"""The sample file, and what the options say of themselves."""

import io
import re
from pathlib import Path

from oslo_config import cfg, generator

from mooring.config.files import check, names_of, read
from mooring.config.load import load
from mooring.config.options import list_options

GUIDE = Path(__file__).parents[2] / "docs" / "configuration.md"


def sample() -> str:
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    conf(["--namespace", "mooring"], default_config_files=[], use_env=False)
    text = io.StringIO()
    generator.generate(conf, text)
    return text.getvalue()


def test_the_sample_loads_as_it_is_once_a_device_and_the_bus_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mooring.conf"
    path.write_text(
        sample()
        .replace("#device_spec =", "device_spec =")
        .replace("#transport_url = \n", "transport_url = rabbit://\n")
        .replace("#transport_url =\n", "transport_url = rabbit://\n")
    )

    assert load([path]).warnings == ()


def test_every_option_of_the_sample_is_known_with_the_value_shown(tmp_path: Path) -> None:
    path = tmp_path / "mooring.conf"
    text = re.sub(r"^#(\w+ = (?!<).*)$", r"\1", sample(), flags=re.MULTILINE)
    path.write_text(text)
    known = {
        section: {name: option for option in options for name in names_of(option)}
        for section, options in list_options()
    }

    file = read(path)
    check(file, known)

    assert {"device_spec", "enabled_port_drivers", "veth_dst_prefix"} <= {a.key for a in file.assignments}


def test_every_option_of_ours_says_when_to_change_it() -> None:
    for section, options in list_options():
        for option in options:
            assert option.help, f"[{section}] {option.name}"


def test_the_examples_of_the_operators_guide_load(tmp_path: Path) -> None:
    smallest, specs, programs, kuryr = re.findall(r"```ini\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    files = []
    for number, text in enumerate((kuryr, smallest, specs, programs)):
        files.append(tmp_path / f"{number}.conf")
        files[-1].write_text(text)

    assert load(files[1:2]).warnings == ()
    networks = [spec.physical_network for spec in load(files).settings.device_specs]
    assert networks == ["physnet1", "physnet1", "physnet2", None]


def documented() -> set[tuple[str, str]]:
    """Section and name of every option that a table of the guide begins a row with."""
    found = set()
    for section, text in re.findall(r"^### \[(\w+)\]\n(.*?)(?=^##)", GUIDE.read_text(), flags=re.DOTALL | re.MULTILINE):
        for cell in re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE):
            found |= {(section, name) for name in re.findall(r"`(\w+)`", cell)}
    return found


def test_every_option_stands_in_the_operators_guide_and_nothing_that_is_none() -> None:
    declared = {(section, option.dest) for section, options in list_options() for option in options}

    assert documented() == declared
