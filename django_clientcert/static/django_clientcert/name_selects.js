/* Labels the boxes that Django's script puts in the place of selects. Without a label,
   screen readers announce only the selected option, or nothing. */
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
        for (const element of text ? [box, text] : [box]) {
            const chosen = text ? ` ${text.id}` : "";
            element.setAttribute("aria-labelledby", label.id + chosen);
        }
    }

    // Django's own script waits for the same event, so this runs after it.
    django.jQuery(() => {
        document.querySelectorAll("select.admin-autocomplete").forEach(name);
    });
}
