import pytest

from skill_plugin.errors import ModelError
from skill_plugin.models.chat_templates import prompt_text
from tiny_models import TEMPLATE, tiny_tokenizer

ONE_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('one system, first') }}"
    "{% endif %}{% endfor %}" + TEMPLATE
)
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% endfor %}" + TEMPLATE
)
SILENT = TEMPLATE.replace("{% for message in messages %}", "{% for message in messages if message.role != 'system' %}")


def said(role, content):
    return {"role": role, "content": content}


TWO = [said("system", "Be brief."), said("system", "Use <skill>."), said("user", "2 + 2?")]


def turns(template, messages):
    text = prompt_text(tiny_tokenizer(chat_template=template), messages)
    assert text.endswith("<|im_start|>assistant\n")
    return [tuple(one.split("<|im_end|>")[0].split("\n", 1)) for one in text.split("<|im_start|>")[1:-1]]


def test_messages_go_as_they_are_where_the_template_takes_them():
    assert turns(TEMPLATE, TWO) == [("system", "Be brief."), ("system", "Use <skill>."), ("user", "2 + 2?")]


def test_system_messages_become_one_where_a_second_is_refused():
    late = [said("user", "2 + 2?"), said("system", "Be brief.")]

    assert turns(ONE_SYSTEM, TWO) == [("system", "Be brief.\n\nUse <skill>."), ("user", "2 + 2?")]
    assert turns(ONE_SYSTEM, late) == [("system", "Be brief."), ("user", "2 + 2?")]


@pytest.mark.parametrize("template", [NO_SYSTEM, SILENT])
def test_the_first_human_turn_takes_them_where_there_is_no_system_role(template):
    talk = [*TWO, said("assistant", "4"), said("user", "Sure?")]

    first, *rest = turns(template, talk)

    assert first == ("user", "Be brief.\n\nUse <skill>.\n\n2 + 2?")
    assert rest == [("assistant", "4"), ("user", "Sure?")]
    assert turns(template, TWO[:2]) == [("user", "Be brief.\n\nUse <skill>.")]


def test_turns_of_one_role_in_a_row_become_one_where_they_must_alternate():
    assert turns(NO_SYSTEM, [said("user", "a"), said("user", "b")]) == [("user", "a\n\nb")]


def test_what_a_template_takes_in_no_form_is_one_line():
    with pytest.raises(ModelError, match="chat template refuses the messages: roles must alternate; send it others"):
        turns(NO_SYSTEM, [said("assistant", "4"), said("user", "2 + 2?")])
    with pytest.raises(ModelError, match="a message of the role 'user' is not a text"):
        turns(TEMPLATE, [said("user", [{"type": "image_url", "image_url": {"url": "data:"}}])])
