"""Folders in the shape of public ones: what goes in comes out to the byte, in every form."""

from skill_folders import folders, journey, made_up


def test_what_goes_in_comes_out_to_the_byte_in_every_form(tmp_path):
    every = folders(made_up(34), 34)
    made = {name: every[name] for name in (f"public-{number:03d}" for number in (0, 1, 2, 3, 9, 32))}
    found = journey(made, tmp_path)

    assert max(map(len, made.values())) == 21
    assert {form: list(row.values())[:4] for form, row in found.items()} == {
        form: [6] * 4 for form in ("folder", "zip", "tar.gz")
    }
