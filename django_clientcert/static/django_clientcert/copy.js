/* A button behind each fingerprint that copies it: without scripts, there is none. */
"use strict";
{
    function addButton(text) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "button clientcert-copy";
        button.textContent = text.dataset.label;
        button.setAttribute("aria-label", text.dataset.name);
        const said = document.createElement("span");
        said.setAttribute("role", "status");
        button.addEventListener("click", () => {
            said.textContent = "";
            navigator.clipboard.writeText(text.dataset.copy).then(
                () => { said.textContent = text.dataset.copied; },
                () => { said.textContent = text.dataset.failed; }
            );
        });
        text.append(" ", button, " ", said);
    }

    document.addEventListener("DOMContentLoaded", () => {
        // Browsers have it on secure pages only.
        if (navigator.clipboard) {
            document.querySelectorAll(".clientcert-copyable").forEach(addButton);
        }
    });
}
