"""Pages and mails made from templates."""

from homeserver.templates.rendering import rendered


def test_values_in_a_page_are_escaped() -> None:
    page = rendered("landing.html.j2", server_name="<script>", base_url="http://a&b/", registration="open")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "http://a&amp;b/" in page
