/* Adds a button after each fingerprint that copies it; without scripts, there is none. */
"use strict";
{
    function addButton(text) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "button clientcert-copy";
        button.textContent = text.dataset.label;
        button.setAttribute("aria-label", text.dataset.name);
        const status = document.createElement("span");
        status.setAttribute("role", "status");
        button.addEventListener("click", () => {
            status.textContent = "";
            navigator.clipboard.writeText(text.dataset.copy).then(
                () => { status.textContent = text.dataset.copied; },
                () => { status.textContent = text.dataset.failed; }
            );
        });
        text.append(" ", button, " ", status);
    }

    document.addEventListener("DOMContentLoaded", () => {
        // Browsers provide it on secure pages only.
        if (navigator.clipboard) {
            document.querySelectorAll(".clientcert-copyable").forEach(addButton);
        }
    });
}
