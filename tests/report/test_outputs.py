from base64 import b64encode

from crmlab.report.outputs import log_text, output_html

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (792).to_bytes(4, "big") + (396).to_bytes(4, "big") + b"\x08\x06"


def display(data, **metadata):
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def test_alt_text_comes_from_the_metadata_then_the_text_then_says_there_is_none():
    picture = b64encode(PNG).decode()
    told = output_html(display({"image/png": picture, "text/plain": "other"}, **{"image/png": {"alt": 'a "b" > c'}}))
    assert 'alt="a &quot;b&quot; &gt; c"' in told
    assert 'width="792" height="396"' in told
    assert 'alt="Bars fall"' in output_html(display({"image/png": picture, "text/plain": "Bars fall"}))
    nothing = output_html(display({"image/png": picture, "text/plain": "<Axes: title={'x'}>"}))
    assert 'alt="A picture without a description."' in nothing


def test_a_broken_picture_does_not_break_the_page():
    assert "<img" in output_html(display({"image/png": '"><script>alert(1)</script>'}))
    assert "<script" not in output_html(display({"image/png": '"><script>alert(1)</script>'}))


def test_an_svg_is_a_picture_and_cannot_run():
    html = output_html(display({"image/svg+xml": "<svg onload='alert(1)'/>", "text/plain": "A curve"}))
    assert html.startswith('<figure class="picture"><img src="data:image/svg+xml;base64,')
    assert "onload" not in html


def test_what_needs_a_program_is_left_out():
    assert output_html(display({"application/javascript": "alert(1)", "text/plain": "<IPython.Javascript>"})) == ""
    assert output_html(display({"application/vnd.jupyter.widget-view+json": {}, "text/plain": "50 %"})) == ""


def test_names_of_objects_are_not_shown_and_plain_text_is_escaped():
    assert output_html(display({"text/plain": "<Axes: xlabel='x'>"})) == ""
    assert output_html(display({"text/plain": "a < b"})) == "<pre>a &lt; b</pre>"


def test_an_error_is_red_and_escaped():
    html = output_html({"output_type": "error", "ename": "E", "evalue": "<b>", "traceback": ["\x1b[31m<i>"]})
    assert 'class="error"' in html
    assert "&lt;b&gt;" in html
    assert "\x1b" not in html


def test_an_output_too_large_for_the_page_says_so():
    assert "too large" in output_html(display({"text/plain": "x" * 2000}), 1000)


def test_messages_read_as_the_terminal_did_at_the_end():
    outputs = [{"output_type": "stream", "text": "10 %\r\x1b[32m100 %\x1b[0m\ndone\n"}, display({"text/plain": "x"})]
    assert log_text(outputs) == "100 %\ndone"
