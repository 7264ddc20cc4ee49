/* The boxes that Django's script puts in place of selects get the name of their field:
   without it, a screen reader says only what is chosen, or nothing. */
"use strict";
{
    function name(select) {
        const label = document.querySelector(`label[for="${select.id}"]`);
        const box = select.parentElement.querySelector(".select2-selection");
        if (!label || !box) {
            return;
        }
        label.id = label.id || `${select.id}_label`;
        const text = box.querySelector("[role=textbox]");
        for (const one of text ? [box, text] : [box]) {
            const chosen = text ? ` ${text.id}` : "";
            one.setAttribute("aria-labelledby", label.id + chosen);
        }
    }

    // As Django's own script waits, and so after it.
    django.jQuery(() => {
        document.querySelectorAll("select.admin-autocomplete").forEach(name);
    });
}
