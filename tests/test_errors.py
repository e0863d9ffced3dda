from skill_plugin.errors import LONGEST, SkillNotFoundError, StoreUnavailableError


def test_a_message_is_one_line_that_keeps_its_beginning_and_its_advice():
    message = str(SkillNotFoundError("no skill 'a\nb" + "x" * 10_000 + "'; list them with: skill-plugin skills list"))

    assert message.startswith("no skill 'a bxx")
    assert message.endswith("list them with: skill-plugin skills list")
    assert len(message) <= LONGEST + 5


def test_each_is_the_standard_error_that_it_replaces():
    assert isinstance(SkillNotFoundError("x"), LookupError)
    assert isinstance(StoreUnavailableError("x"), OSError)
